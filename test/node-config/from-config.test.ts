import assert from 'node:assert/strict'
import { test } from 'node:test'

import { nodeAuthOf, registriesOf } from '../../src/node-config/from-config.ts'
import { loadText } from '../config/support.ts'

const CONFIG = {
  version: 1,
  server: { tls: { certFile: 'tls.crt', keyFile: 'tls.key', clientCaFile: 'ca.crt' } },
  upstreams: [
    { name: 'docker.io', url: 'https://registry-1.docker.io', default: true },
    {
      name: 'acme',
      match: ['reg.acme.example:8443', 'reg.acme.example', 'old.example:5000'],
      url: 'https://reg.acme.example:8443',
      access: 'caller',
      caFile: 'acme.crt',
    },
    { name: 'port', match: ['port.example:1'], url: 'https://port.example:1' },
  ],
}

async function load(more: object = {}) {
  return (await loadText(JSON.stringify({ ...CONFIG, ...more }))).config
}

test('every name of an upstream is a registry; one with a port borrows a name for paths', async () => {
  const { upstreams } = await load()
  const registries = registriesOf(upstreams)
  assert.deepEqual(
    registries.map(({ name, segment, url }) => [name, segment, url]),
    [
      ['docker.io', 'docker.io', 'https://registry-1.docker.io'],
      ['reg.acme.example:8443', 'reg.acme.example', 'https://reg.acme.example:8443'],
      ['reg.acme.example', 'reg.acme.example', 'https://reg.acme.example:8443'],
      ['old.example:5000', 'reg.acme.example', 'https://reg.acme.example:8443'],
      ['port.example:1', undefined, 'https://port.example:1'],
    ],
  )
  assert.deepEqual(
    registries.map(({ isDefault, asksCaller, hasOwnCa }) => [isDefault, asksCaller, hasOwnCa]),
    [
      [true, false, false],
      [false, true, true],
      [false, true, true],
      [false, true, true],
      [false, false, false],
    ],
  )
})

test('what the front door asks for is what nodes have to bring', async () => {
  const given = { certFile: '/a', keyFile: '/b' }
  for (const [auth, password, certificate] of [
    [undefined, false, false],
    [{ clientCertificates: true }, false, true],
  ] as const) {
    const config = await load({ auth })
    assert.deepEqual(nodeAuthOf(config.auth, given), {
      password,
      certificate,
      clientCertificate: given,
    })
  }
  const htpasswdFile = '/etc/larder/users'
  const door = { htpasswdFile, clientCertificates: false, rules: [] }
  assert.equal(nodeAuthOf(door, undefined).password, true)
})
