import assert from 'node:assert/strict'
import { test } from 'node:test'

import { renderNodeConfig } from '../../src/node-config/render.ts'
import { ACME, byPath, HUB, PLAIN, TLS } from './setups.ts'
import { parseToml } from './toml.ts'

const FILE = '/etc/buildkit/buildkitd.toml'

test('BuildKit: mirrors for each, and how Larder and what lies elsewhere are reached', () => {
  const files = byPath(renderNodeConfig('buildkit', TLS))
  assert.deepEqual(Object.keys(files), [FILE, '/etc/buildkit/larder-ca.crt'])
  assert.equal(
    files[FILE],
    `[registry."docker.io"]
  mirrors = ["larder.example:5000"]

[registry."reg.acme.example:8443"]
  mirrors = ["larder.example:5000", "10.0.0.1:8443"]

[registry."10.0.0.1:8443"]
  http = true

[registry."larder.example:5000"]
  ca = ["/etc/buildkit/larder-ca.crt"]
  [[registry."larder.example:5000".keypair]]
    key = "/pki/node.key"
    cert = "/pki/node.crt"
`,
  )
  parseToml(files[FILE])
})

test('BuildKit: no table is there twice, whoever shares a host', () => {
  const own = { ...ACME, name: '10.0.0.1:8443' }
  const path = { ...HUB, name: 'reg.test', url: 'https://harbor.example/proxy' }
  const setup = { ...PLAIN, registries: [HUB, ACME, own, path] }
  const { registry } = parseToml(byPath(renderNodeConfig('buildkit', setup))[FILE] ?? '')
  const mirrors = ['larder.example:5000']
  assert.deepEqual(registry, {
    'docker.io': { mirrors },
    'reg.acme.example:8443': { mirrors: [...mirrors, '10.0.0.1:8443'] },
    '10.0.0.1:8443': { mirrors, http: true },
    'reg.test': { mirrors },
    'larder.example:5000': { http: true },
  })
})

test('BuildKit: what it cannot do is refused', () => {
  const alone = { ...PLAIN, fallback: false }
  assert.throws(() => renderNodeConfig('buildkit', alone), /nothing turns that off/)
  const every = { ...PLAIN, everything: true }
  for (const runtime of ['buildkit', 'crio', 'podman'] as const) {
    assert.throws(() => renderNodeConfig(runtime, every), /leave --all-registries out/)
  }
})
