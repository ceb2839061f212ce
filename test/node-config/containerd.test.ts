import assert from 'node:assert/strict'
import { test } from 'node:test'

import { renderNodeConfig } from '../../src/node-config/render.ts'
import { LOOPBACK_CERT } from '../upstream/loopback-tls.ts'
import { byPath, HUB, PLAIN, TLS } from './setups.ts'
import { parseToml } from './toml.ts'

const ROOT = '/etc/containerd/certs.d'

test('containerd: Larder is the host, the registry the server that is asked after it', () => {
  const files = byPath(renderNodeConfig('containerd', PLAIN))
  assert.deepEqual(files, {
    [`${ROOT}/docker.io/hosts.toml`]: `# docker.io: Larder first, then the registry itself.
server = "https://registry-1.docker.io"

[host."http://larder.example:5000"]
  capabilities = ["pull", "resolve"]
  dial_timeout = "2s"
`,
    [`${ROOT}/reg.acme.example_8443_/hosts.toml`]: `# reg.acme.example:8443: Larder first, then the registry itself.
server = "http://10.0.0.1:8443"

[host."http://larder.example:5000"]
  capabilities = ["pull", "resolve"]
  dial_timeout = "2s"
`,
  })
})

test('containerd: without a fallback nobody but Larder is named, twice for releases before 2.0', () => {
  const setup = { ...TLS, fallback: false, registries: [HUB] }
  assert.deepEqual(byPath(renderNodeConfig('containerd', setup)), {
    [`${ROOT}/larder.example_5000_/ca.crt`]: LOOPBACK_CERT,
    [`${ROOT}/docker.io/hosts.toml`]: `# docker.io: Larder alone.
server = "https://larder.example:5000"
ca = "../larder.example_5000_/ca.crt"
client = [["/pki/node.crt", "/pki/node.key"]]

[host."https://larder.example:5000"]
  capabilities = ["pull", "resolve"]
  ca = "../larder.example_5000_/ca.crt"
  client = [["/pki/node.crt", "/pki/node.key"]]
`,
  })
})

test('containerd: one file for every registry leaves it to containerd which server that is', () => {
  const every = byPath(renderNodeConfig('containerd', { ...PLAIN, everything: true }))
  assert.deepEqual(Object.keys(every), [`${ROOT}/_default/hosts.toml`])
  const host = { capabilities: ['pull', 'resolve'] }
  const [first = ''] = Object.values(every)
  assert.deepEqual(parseToml(first), {
    host: { 'http://larder.example:5000': { ...host, dial_timeout: '2s' } },
  })
  const alone = { ...PLAIN, everything: true, fallback: false }
  const [second = ''] = Object.values(byPath(renderNodeConfig('containerd', alone)))
  assert.deepEqual(parseToml(second), {
    server: 'http://larder.example:5000',
    host: { 'http://larder.example:5000': host },
  })
})

test('containerd: the notes say what is hot, what older releases need, and how to log in', () => {
  const { notes } = renderNodeConfig('containerd', TLS)
  assert.match(notes[0] ?? '', /nothing has to be restarted/)
  assert.match(notes[1] ?? '', /config_path = "\/etc\/containerd\/certs\.d"/)
  assert.match(notes[2] ?? '', /\[host\."https:\/\/larder\.example:5000"\.header\]/)
  assert.equal(notes.length, 3, 'it was said where the certificate is')
  const auth = { ...TLS.auth, clientCertificate: undefined }
  const asked = renderNodeConfig('containerd', { ...TLS, auth }).notes
  assert.match(asked.at(-1) ?? '', /client certificate.*--client-cert/)
})
