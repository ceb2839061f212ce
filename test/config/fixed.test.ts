import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Environment } from '../../src/config/environment.ts'
import { findFixedChanges } from '../../src/config/fixed.ts'
import { loadConfig } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problems.ts'
import { withFile } from './support.ts'

/** What of `after` a server that runs with `before` would have to be restarted for. */
async function changesOf(
  before: string,
  after: string,
  env: Environment = {},
): Promise<readonly string[]> {
  return await withFile(before, async (cwd) => {
    const { config } = await loadConfig({ file: 'larder.yaml', env: {}, cwd })
    await writeFile(join(cwd, 'larder.yaml'), after)
    const loaded = await loadConfig({ file: 'larder.yaml', env, cwd })
    return findFixedChanges(config, loaded).map((problem) =>
      formatProblem(problem).replaceAll(cwd, '/cwd'),
    )
  })
}

const TLS = 'server: { tls: { certFile: crt, keyFile: key } }'

test('each key that takes a restart is refused at its place', async () => {
  const changes = await changesOf(
    `server: { tls: { certFile: crt, keyFile: key } }`,
    `server:
  listen: :5001
  adminListen: "[::1]:9091"
  tls:
    certFile: crt2
    keyFile: key2
    clientCaFile: ca
  workers: 2
log: { level: debug, format: text }
storage: { path: elsewhere }
memory: { chunkCache: 1GiB }
`,
  )
  const running = 'takes a restart: the running server'
  assert.deepEqual(changes, [
    `larder.yaml:2:11: server.listen: ${running} listens on 0.0.0.0:5000`,
    `larder.yaml:3:16: server.adminListen: ${running} has its admin listener on 127.0.0.1:9090`,
    `larder.yaml:5:15: server.tls.certFile: ${running} reads /cwd/crt`,
    `larder.yaml:6:14: server.tls.keyFile: ${running} reads /cwd/key`,
    `larder.yaml:7:19: server.tls.clientCaFile: ${running} has none`,
    `larder.yaml:8:12: server.workers: ${running} has 1`,
    `larder.yaml:9:30: log.format: ${running} writes json`,
    `larder.yaml:10:18: storage.path: ${running} keeps its data in /cwd/data`,
    `larder.yaml:11:23: memory.chunkCache: ${running} has 256MiB`,
  ])
})

test('a key that is gone is a change where it was, or around it', async () => {
  const before = 'server: { listen: ":5001" }\nlog: { format: text }'
  assert.deepEqual(await changesOf(before, '# nothing\nserver:\n  drainTimeout: 1s\nlog: {}'), [
    'larder.yaml:2:1: server.listen: takes a restart: the running server listens on 0.0.0.0:5001',
    'larder.yaml:4:1: log.format: takes a restart: the running server writes text',
  ])
})

test('TLS that comes or goes is one change', async () => {
  assert.deepEqual(await changesOf('', TLS), [
    'larder.yaml:1:11: server.tls: takes a restart: the running server speaks plain HTTP',
  ])
  assert.deepEqual(await changesOf(TLS, 'offline: true'), [
    'larder.yaml:1:1: server.tls: takes a restart: the running server speaks TLS',
  ])
})

test('what the environment changed is at its variable', async () => {
  assert.deepEqual(await changesOf('', '', { LARDER__STORAGE__PATH: '/srv' }), [
    'LARDER__STORAGE__PATH: storage.path: takes a restart: the running server keeps its data in /cwd/data',
  ])
})

test('every other key, and another way to write the same, is no such change', async () => {
  const before = `${TLS}\nmemory: { chunkCache: 1GiB }`
  const after = `
server:
  listen: 0.0.0.0:5000
  drainTimeout: 5s
  tls: { certFile: ./crt, keyFile: ./sub/../key }
auth: { htpasswdFile: users }
admin: { tokenFile: token }
log: { level: debug }
storage: { maxSize: 1GiB, minFree: 1%, unusedFor: 9d, scrub: { every: never } }
memory: { chunkCache: 1024MiB }
upstreams: [{ name: r.example.com, url: "https://r.example.com", refresh: background }]
offline: true
preload: [{ name: a, sources: [b] }]
`
  assert.deepEqual(await changesOf(before, after), [])
})
