import assert from 'node:assert/strict'
import { test } from 'node:test'

import { renderNodeConfig } from '../../src/node-config/render.ts'
import { LOOPBACK_CERT } from '../upstream/loopback-tls.ts'
import { ACME, byPath, HUB, PLAIN, TLS } from './setups.ts'
import { parseToml } from './toml.ts'

const DAEMON = '/etc/docker/daemon.json'

test('docker: the mirror is for Docker Hub, hosts.toml for the others', () => {
  const files = byPath(renderNodeConfig('docker', PLAIN))
  assert.equal(
    files[DAEMON],
    `{
  "registry-mirrors": [
    "http://larder.example:5000"
  ],
  "insecure-registries": [
    "larder.example:5000"
  ]
}
`,
  )
  assert.deepEqual(Object.keys(files).slice(1), [
    '/etc/docker/certs.d/docker.io/hosts.toml',
    '/etc/docker/certs.d/reg.acme.example_8443_/hosts.toml',
  ])
})

test('docker: over TLS nothing is insecure, and the authority is where Docker looks for it', () => {
  const files = byPath(renderNodeConfig('docker', { ...TLS, registries: [HUB] }))
  assert.deepEqual(JSON.parse(files[DAEMON] ?? ''), {
    'registry-mirrors': ['https://larder.example:5000'],
  })
  assert.equal(files['/etc/docker/certs.d/larder.example:5000/ca.crt'], LOOPBACK_CERT)
  const hosts = parseToml(files['/etc/docker/certs.d/docker.io/hosts.toml'] ?? '')
  const { ca } = (hosts['host'] as Record<string, { ca: string }>)[TLS.url] ?? {}
  assert.equal(ca, '../larder.example:5000/ca.crt')
})

test('docker: what is asked without a name must be Docker Hub, or there is no mirror', () => {
  const other = { ...ACME, isDefault: true }
  const registries = [{ ...HUB, isDefault: false }, other]
  const { files, notes } = renderNodeConfig('docker', { ...TLS, registries })
  assert.equal(
    files.some(({ path }) => path === DAEMON),
    false,
  )
  assert.match(notes.join('\n'), /No registry-mirrors/)
})

test('docker: that the fallback to Docker Hub stays is told to whoever wanted it off', () => {
  const off = renderNodeConfig('docker', { ...PLAIN, fallback: false })
  assert.match(off.notes.join('\n'), /nothing turns that off/)
  assert.doesNotMatch(renderNodeConfig('docker', PLAIN).notes.join('\n'), /turns that off/)
})
