import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'

import { RUNTIMES, renderNodeConfig } from '../../src/node-config/render.ts'
import { NodeConfigError } from '../../src/node-config/setup.ts'
import { tomlString } from '../../src/node-config/toml.ts'
import { byPath, HUB, PLAIN, TLS } from './setups.ts'
import { parseToml } from './toml.ts'

test('a name that is no host is refused before it becomes a folder or a key', () => {
  const names = [
    '..',
    '../etc',
    'a/b',
    '',
    '.',
    'a..b',
    'a\n[host]',
    'a"b',
    'a]b',
    'a b',
    '-a',
    'A',
  ]
  for (const name of names) {
    for (const runtime of RUNTIMES) {
      const setup = { ...PLAIN, registries: [{ ...HUB, name }] }
      assert.throws(() => renderNodeConfig(runtime, setup), NodeConfigError, name)
    }
  }
  for (const name of ['a', 'localhost:5000', '[::1]:5000', 'xn--d1acpjx3f.example', '10.0.0.1:1']) {
    const setup = { ...PLAIN, registries: [{ ...HUB, name }] }
    assert.equal(renderNodeConfig('containerd', setup).files.length, 1, name)
  }
})

test('a URL of Larder is a scheme and a host; certificates need TLS', () => {
  const urls = ['', 'larder', 'ftp://a', 'http://a/b', 'http://a/', 'http://u:p@a', 'http://a?b']
  for (const url of urls) {
    assert.throws(() => renderNodeConfig('containerd', { ...PLAIN, url }), NodeConfigError, url)
  }
  const { url } = PLAIN
  for (const setup of [
    { ...TLS, url },
    { ...TLS, ca: undefined, url },
  ]) {
    assert.throws(() => renderNodeConfig('podman', setup), /without TLS/)
  }
})

test('names of files keep every character that a file’s name may have', () => {
  const certFile = '/pki/"q" \\ \n \u007f \u0001 ключ.crt'
  const auth = { ...TLS.auth, clientCertificate: { certFile, keyFile: certFile } }
  const setup = { ...TLS, auth, registries: [HUB] }
  const hosts = byPath(renderNodeConfig('containerd', setup))
  const file = hosts['/etc/containerd/certs.d/docker.io/hosts.toml'] ?? ''
  const { host } = parseToml(file) as { host: Record<string, { client: unknown }> }
  assert.deepEqual(host[TLS.url]?.client, [[certFile, certFile]])
})

test('any text is a string of TOML: one line, without a control character or half of one', () => {
  // JSON leaves the first as it is, and makes of the other what is no character in TOML.
  assert.equal(tomlString('\u007f'), '"\\u007f"')
  assert.equal(tomlString('\ud800'), '"\ufffd"')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const written = tomlString(text)
      assert.equal(/[\p{Cc}--[\u0080-\u009f]]|\p{Cs}/v.test(written), false)
      assert.equal(JSON.parse(written), text.toWellFormed())
    }),
  )
})

test('there is a newline at the end of every file, and no secret’s mode is needed', () => {
  for (const runtime of RUNTIMES) {
    for (const { content, mode, path } of renderNodeConfig(runtime, TLS).files) {
      assert.ok(content.endsWith('\n') && !content.endsWith('\n\n'), path)
      assert.equal(mode, 0o644)
    }
  }
})

test('who asks callers for logins, and what nodes do not trust, is told', () => {
  const registries = [{ ...HUB, asksCaller: true, hasOwnCa: true }]
  const notes = renderNodeConfig('k3s', { ...PLAIN, registries }).notes.join('\n')
  assert.match(notes, /private at docker\.io takes a login/)
  assert.match(notes, /docker\.io: the fallback works where nodes trust/)
  const alone = renderNodeConfig('k3s', { ...PLAIN, registries, fallback: false }).notes.join('\n')
  assert.doesNotMatch(alone, /the fallback works/)
})
