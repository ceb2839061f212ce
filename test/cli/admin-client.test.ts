import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'

import { makeTokenFile, Site } from '../admin/site.ts'
import { larder } from './admin.ts'

const TOKEN = 'correct-horse-battery-staple'

/** Something on loopback that is no Larder. */
async function withServer(handler: RequestListener, use: (url: string) => Promise<void>) {
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

function configOf(url: string, admin = ''): Record<string, string> {
  const { host } = new URL(url)
  return { 'larder.yaml': `server: { adminListen: "${host}" }\n${admin}` }
}

test('the running server is found by its configuration, or by --server', async () => {
  await using site = await Site.start()
  const files = configOf(site.url)
  assert.equal((await larder(['reload', '-c', 'larder.yaml'], { files })).code, 0)
  assert.equal((await larder(['reload', '--server', `${site.url}/`])).code, 0)
  const { host } = new URL(site.url)
  assert.equal((await larder(['reload'], { env: { LARDER__SERVER__ADMINLISTEN: host } })).code, 0)
  assert.equal(site.ports.calls.length, 3)
})

test('nobody there, or somebody else, is one line and exit 1', async () => {
  let closed = ''
  await withServer(
    (request, response) => {
      if (request.url === '/api/v1/gc') response.end('<html>hello</html>')
      else if (request.url === '/api/v1/reload') response.writeHead(302, { Location: '/x' }).end()
      else response.writeHead(404, { 'Content-Type': 'application/json' }).end('{}')
    },
    async (url) => {
      closed = url
      for (const [command, message] of [
        ['gc', `${url} answers 200, not as Larder's admin API does: is it server.adminListen?\n`],
        [
          'verify',
          `${url} answers 404, not as Larder's admin API does: is it server.adminListen?\n`,
        ],
      ] as const) {
        assert.deepEqual(await larder([command, '--server', url]), {
          code: 1,
          stdout: '',
          stderr: message,
        })
      }
      const redirected = await larder(['reload', '--server', url])
      assert.deepEqual([redirected.code, redirected.stderr.split('\n').length], [1, 2])
    },
  )
  assert.deepEqual(await larder(['gc', '--server', closed]), {
    code: 1,
    stdout: '',
    stderr: `no Larder answers at ${closed}: is it running? start it, or say --server\n`,
  })
  const configured = await larder(['gc', '-c', 'larder.yaml'], { files: configOf(closed) })
  assert.deepEqual([configured.code, configured.stderr.includes(closed)], [1, true])
})

test('what cannot be meant is exit 2, before anybody is asked', async () => {
  for (const [args, message] of [
    [['gc', '--server', '127.0.0.1:9090'], /--server: expected a URL/],
    [['gc', '--server', 'http://canary:canary@127.0.0.1:9090'], /^--server: expected a URL[^@]*$/],
    [['gc', '-c', 'none.yaml'], /none\.yaml/],
    [['gc', '-c', 'larder.yaml'], /larder\.yaml:1:11: server\.adminListn: unknown key/],
    [['gc', '-c', 'anywhere.yaml'], /no fixed port: say --server/],
    [['gc', 'extra'], /too many arguments/],
    [['gc', '-o', 'xml'], /Allowed choices are table, json/],
    [['pin'], /say either REF… or --pattern/],
    [['pin', 'nginx', '--pattern', 'a/b'], /say either/],
    [['pin', 'nginx', '--list'], /leave REF and --pattern out/],
    [['unpin'], /say either/],
    [['purge', '--yes'], /exactly one of REF…, --pattern/],
    [['purge', 'nginx', '--upstream', 'ghcr.io', '--yes'], /exactly one of/],
    [['purge', 'nginx'], /say --yes, or --dry-run/],
  ] as const) {
    const files = {
      'larder.yaml': 'server: { adminListn: ":1" }',
      'anywhere.yaml': 'server: { adminListen: "127.0.0.1:0" }',
    }
    const { code, stdout, stderr } = await larder(args, { files })
    assert.deepEqual([code, stdout], [2, ''], `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, message)
  }
})

test('the token comes from --token-file, else from the configuration', async () => {
  await using tokens = await makeTokenFile()
  await writeFile(tokens.file, `${TOKEN}\n`)
  await using site = await Site.start({ tokenFile: tokens.file })
  const files = configOf(site.url, 'admin: { tokenFile: ./token }')
  const withToken = { files: { ...files, token: TOKEN } }
  assert.equal((await larder(['reload', '-c', 'larder.yaml'], withToken)).code, 0)
  const said = await larder(['reload', '--server', site.url, '--token-file', tokens.file])
  assert.equal(said.code, 0)
  // Reading needs none, not even one that can be read.
  assert.equal((await larder(['pin', '--list', '-c', 'larder.yaml'], { files })).code, 0)

  const missing = await larder(['reload', '-c', 'larder.yaml'], { files })
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /^the token file \S+\/token: it cannot be read \(ENOENT\)\n$/)
})

test('a refusal is exit 1, and says what to do', async () => {
  await using tokens = await makeTokenFile()
  await writeFile(tokens.file, TOKEN)
  await using site = await Site.start({ tokenFile: tokens.file })
  const none = await larder(['reload', '--server', site.url])
  assert.equal(none.code, 1)
  assert.match(none.stderr, /^the admin token is needed: .*\nsay --token-file, or -c /)
  const files = { other: 'canary-canary-canary' }
  const wrong = await larder(['reload', '--server', site.url, '--token-file', 'other'], { files })
  assert.equal(wrong.code, 1)
  assert.match(wrong.stderr, /^the admin token is wrong\nsay --token-file/)
  assert.ok(!wrong.stderr.includes('canary'))

  await using open = await Site.start({ listenHost: '0.0.0.0' })
  const refused = await larder(['reload', '--server', open.url])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /admin\.tokenFile is not set\non the server set admin\.tokenFile/)
  assert.deepEqual([...site.ports.calls, ...open.ports.calls], [])
})

test('a stream that is cut is a failure, not a good result', async () => {
  await withServer(
    (_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/x-ndjson' })
      response.write('{"event":"started"}\n{"event":"progress","checked":1,"total":2,"bytes":3}\n')
      response.write('{"event":"do', () => response.destroy())
    },
    async (url) => {
      const cut = await larder(['verify', '--server', url])
      assert.deepEqual(cut, {
        code: 1,
        stdout: '',
        stderr: `the answer of ${url} was cut: see its log\n`,
      })
    },
  )
  await withServer(
    (_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/x-ndjson' })
      response.end('{"event":"started"}\n')
    },
    async (url) => {
      const { code, stderr } = await larder(['verify', '--server', url])
      assert.equal(code, 1)
      assert.match(stderr, /^the verification ended before its end/)
    },
  )
})
