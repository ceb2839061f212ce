import assert from 'node:assert/strict'
import { test } from 'node:test'

import { renderNodeConfig } from '../../src/node-config/render.ts'
import { LOOPBACK_CERT } from '../upstream/loopback-tls.ts'
import { ACME, byPath, HUB, PLAIN, TLS } from './setups.ts'
import { parseToml } from './toml.ts'

const FILE = '/etc/containers/registries.conf.d/50-larder.conf'

test('podman: Larder is a mirror, by a name without a port, before the registry itself', () => {
  assert.deepEqual(byPath(renderNodeConfig('podman', PLAIN)), {
    [FILE]: `# docker.io: Larder first, then the registry itself.
[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "larder.example:5000/docker.io"
insecure = true # without TLS

# reg.acme.example:8443: Larder first, then the registry itself.
[[registry]]
prefix = "reg.acme.example:8443"
location = "10.0.0.1:8443"
insecure = true # without TLS
[[registry.mirror]]
location = "larder.example:5000/acme.example"
insecure = true # without TLS

# What is pulled by Larder’s own name.
[[registry]]
location = "larder.example:5000"
insecure = true # without TLS
`,
  })
})

test('CRI-O: without a fallback Larder stands in the place of the registry', () => {
  const files = byPath(renderNodeConfig('crio', { ...TLS, fallback: false }))
  assert.deepEqual(Object.keys(files), [FILE, '/etc/containers/certs.d/larder.example:5000/ca.crt'])
  assert.equal(files['/etc/containers/certs.d/larder.example:5000/ca.crt'], LOOPBACK_CERT)
  assert.deepEqual(parseToml(files[FILE] ?? ''), {
    registry: [
      { prefix: 'docker.io', location: 'larder.example:5000/docker.io' },
      { prefix: 'reg.acme.example:8443', location: 'larder.example:5000/acme.example' },
    ],
  })
})

test('a registry without a name that can stand in a path is refused, with what to do', () => {
  const setup = { ...PLAIN, registries: [HUB, { ...ACME, segment: undefined }] }
  for (const runtime of ['podman', 'crio'] as const) {
    assert.throws(() => renderNodeConfig(runtime, setup), /^NodeConfigError: reg\.acme.*add one/)
  }
})

test('a path before /v2/ cannot be said: the fallback goes by name, and that is told', () => {
  const registries = [{ ...HUB, name: 'reg.test', url: 'https://harbor.example/proxy' }]
  const { files, notes } = renderNodeConfig('podman', { ...PLAIN, registries })
  assert.match(files[0]?.content ?? '', /^location = "reg\.test"$/m)
  assert.match(notes.join('\n'), /reg\.test falls back to a registry at https:\/\/reg\.test/)
  const alone = renderNodeConfig('podman', { ...PLAIN, registries, fallback: false })
  assert.doesNotMatch(alone.notes.join('\n'), /falls back/)
})

test('each is told how it takes the files over, logs in, and where it looks for certificates', () => {
  const crio = renderNodeConfig('crio', TLS).notes.join('\n')
  assert.match(crio, /systemctl reload crio/)
  assert.match(crio, /global_auth_file/)
  assert.match(
    crio,
    /link \/pki\/node\.crt there as client\.cert and \/pki\/node\.key as client\.key/,
  )
  assert.match(
    renderNodeConfig('podman', TLS).notes.join('\n'),
    /podman login larder\.example:5000/,
  )
})
