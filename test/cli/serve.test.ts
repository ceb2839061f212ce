import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { send } from '../support/http-client.ts'
import { startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

interface Ended {
  readonly code: number
  readonly stderr: string
}

/** Runs a `serve` that is expected to end by itself. */
async function serve(config: string): Promise<Ended> {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'larder.yaml')
  await writeFile(file, config)
  const options = { cwd: dir.path, timeout: 20_000 }
  try {
    await promisify(execFile)(process.execPath, [MAIN, 'serve', '-c', file], options)
    return { code: 0, stderr: '' }
  } catch (error) {
    const { code, stderr } = error as Ended
    return { code, stderr }
  }
}

function configOf(port: number, data: string): string {
  return `version: 1
server: { listen: "127.0.0.1:${port}", adminListen: "127.0.0.1:0" }
storage: { path: ${data} }
`
}

test('a port that is in use is one clear line and exit 1', async () => {
  await using dir = await makeTempDir()
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  const { code, stderr } = await serve(configOf(port, join(dir.path, 'data')))
  other.close()
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`^127\\.0\\.0\\.1:${port}: the port is in use.*\n$`))
})

test('a data directory that cannot be one is one clear line and exit 1', async () => {
  await using dir = await makeTempDir()
  await writeFile(join(dir.path, 'file'), '')
  const { code, stderr } = await serve(configOf(0, join(dir.path, 'file', 'data')))
  assert.equal(code, 1)
  assert.match(stderr, /^[^\n]*file\/data[^\n]*\n$/)
})

test('a data directory that is a file is told so', async () => {
  await using dir = await makeTempDir()
  await writeFile(join(dir.path, 'file'), '')
  const { code, stderr } = await serve(configOf(0, join(dir.path, 'file')))
  assert.equal(code, 1)
  assert.match(stderr, /^cannot use the data directory \S+: it is a file, not a folder\n$/)
})

test('a data directory in use is one clear line and exit 75', async () => {
  await using larder = await startLarder({ upstreams: [UPSTREAM('http://127.0.0.1:1')] })
  const { code, stderr } = await serve(configOf(0, larder.dataDir))
  assert.equal(code, 75)
  assert.match(stderr, /^[^\n]*in use[^\n]*\n$/)
})

const UNUSABLE: Readonly<Record<string, { says: string; expected: RegExp }>> = {
  'a certificate that is not there': {
    says: 'server: { tls: { certFile: none.crt, keyFile: none.key } }',
    expected: /^server\.tls: certFile \S+\/none\.crt cannot be read \(ENOENT\)$/,
  },
  'what is no certificate': {
    says: 'server: { tls: { certFile: larder.yaml, keyFile: larder.yaml } }',
    expected: /^server\.tls: certFile \S+\/larder\.yaml and keyFile \S+ cannot be used: [^\n]+$/,
  },
  'a password file that is not there': {
    says: 'auth: { htpasswdFile: none }',
    expected: /^auth\.htpasswdFile: \S+\/none cannot be read \(ENOENT\)$/,
  },
  'what is no password file': {
    says: 'auth: { htpasswdFile: larder.yaml }',
    expected: /^auth\.htpasswdFile: \S+\/larder\.yaml:1: expected user:bcrypt-hash [^\n]+$/,
  },
  "an upstream's authority that is not there": {
    says: 'upstreams: [{ name: a.test, url: "https://a.test", caFile: none.pem }]',
    expected: /^upstreams: a\.test: cannot read \S+\/none\.pem: ENOENT$/,
  },
}

for (const [name, { says, expected }] of Object.entries(UNUSABLE)) {
  test(`${name} is one line that names its key, and exit 2`, async () => {
    const { code, stderr } = await serve(`version: 1\nstorage: { path: ./data }\n${says}\n`)
    const [last = '', ...before] = stderr.trimEnd().split('\n').reverse()
    assert.match(last, expected)
    assert.ok(before.every((line) => line.includes('"level":"warn"')))
    assert.equal(code, 2)
  })
}

test('every problem of a configuration is listed, and the exit is 2', async () => {
  const { code, stderr } = await serve('version: 1\nserver: { lissten: x }\nofline: true\n')
  assert.equal(code, 2)
  assert.match(stderr, /larder\.yaml:2:\d+: .*lissten.*did you mean.*listen/is)
  assert.match(stderr, /larder\.yaml:3:1: .*ofline.*offline/is)
})

function UPSTREAM(url: string) {
  return { name: 'reg.test', url, default: true, access: 'public' }
}

test('what is not configured is told to the log, and not to the caller', async () => {
  await using larder = await startLarder({ upstreams: [UPSTREAM('http://127.0.0.1:1')] })
  const got = await send(larder.url, '/v2/a/b/manifests/v1?ns=elsewhere.example')
  assert.equal(got.status, 404)
  assert.doesNotMatch(got.body.toString(), /reg\.test/)
  const [line] = await larder.logged('no such registry is configured')
  assert.deepEqual(line?.['configured'], ['reg.test'])
  assert.equal(line?.['ns'], 'elsewhere.example')
})

test('npm start ends its Larder when it is told to end', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'larder.yaml')
  await writeFile(file, configOf(0, join(dir.path, 'data')))
  const npm = spawn('npm', ['start', '--silent', '--', '-c', file], { cwd: ROOT, detached: true })
  // npm may be gone, and what it started still there.
  const end = setTimeout(() => process.kill(-(npm.pid ?? 0), 'SIGKILL'), 30_000)
  let said = ''
  for await (const text of npm.stderr.setEncoding('utf8')) {
    said += text
    if (/"msg":"listening"/.test(said) && !npm.killed) npm.kill('SIGTERM')
  }
  clearTimeout(end)
  assert.match(said, /"msg":"stopped"/)
})
