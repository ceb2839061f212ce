import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'

import { ProxyRules } from '../../src/upstream/proxy-rules.ts'
import { ScriptedServer } from '../support/scripted-server.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { AS_LARDER, createClient, failure, LATEST, REPOSITORY, sampleManifest } from './client.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from './loopback-tls.ts'

const MANIFEST = sampleManifest()

function rules(noProxy: string, proxy?: string): (url: string) => string | undefined {
  const httpsProxy = 'http://secure-proxy:3128'
  const made = new ProxyRules(proxy, { httpsProxy, httpProxy: 'plain-proxy:3128', noProxy })
  return (url) => made.proxyFor(new URL(url))
}

test('the scheme chooses the proxy of the environment; a configured one takes everything', () => {
  assert.equal(rules('')('https://r.example/'), 'http://secure-proxy:3128')
  assert.equal(rules('')('http://r.example/'), 'http://plain-proxy:3128')
  assert.equal(rules('*', 'http://own:1')('http://127.0.0.1/'), 'http://own:1')
})

test('this machine is never asked for through a proxy of the environment', () => {
  for (const host of ['127.0.0.1', '127.3.2.1:5000', 'localhost', '[::1]:5000']) {
    assert.equal(rules('')(`https://${host}/`), undefined, host)
  }
})

test('NO_PROXY: names with their subdomains, ports, addresses, ranges, everything', () => {
  const cases: readonly [entry: string, url: string, direct: boolean][] = [
    ['r.example', 'https://r.example/', true],
    ['r.example', 'https://a.r.example/', true],
    ['r.example', 'https://xr.example/', false],
    ['.r.example', 'https://a.r.example/', true],
    ['.r.example', 'https://r.example/', true],
    ['*.r.example', 'https://r.example/', false],
    ['*.r.example', 'https://a.r.example/', true],
    ['R.Example.', 'https://r.example./', true],
    ['r.example:5000', 'https://r.example:5000/', true],
    ['r.example:5000', 'https://r.example/', false],
    ['r.example:443', 'https://r.example/', true],
    ['10.0.0.0/8', 'https://10.1.2.3:5000/', true],
    ['10.0.0.0/8', 'https://11.1.2.3/', false],
    ['10.0.0.0/8', 'https://r.example/', false],
    ['10.0.0.0/99', 'https://10.0.0.1/', false],
    ['10.1.2.3', 'https://10.1.2.3/', true],
    ['2.3', 'https://10.1.2.3/', false],
    ['fd00::/8', 'https://[fd00::1]/', true],
    ['[fd00::1]:5000', 'https://[fd00::1]:5000/', true],
    ['fd00::1', 'https://[fd00::1]/', true],
    ['a.example, b.example\tr.example', 'https://r.example/', true],
    ['*', 'https://r.example/', true],
  ]
  for (const [entry, url, direct] of cases) {
    assert.equal(rules(entry)(url) === undefined, direct, `${entry} for ${url}`)
  }
})

interface Proxy extends AsyncDisposable {
  readonly origin: string
  /** What it was asked for, with its own authorization. */
  readonly seen: string[]
}

/** A forward proxy for which every name is this machine. */
async function startProxy(refuses = false): Promise<Proxy> {
  const seen: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers['proxy-authorization']}`)
    response.writeHead(200, MANIFEST.answer.headers).end(MANIFEST.bytes)
  })
  server.on('connection', (socket) => sockets.add(socket))
  server.on('connect', (request, socket: Socket) => {
    seen.push(`CONNECT ${request.url} ${request.headers['proxy-authorization']}`)
    socket.on('error', () => socket.destroy())
    if (refuses) {
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
      return
    }
    const target = connect(Number(request.url?.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      target.pipe(socket).pipe(target)
    })
    sockets.add(target)
    target.on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    origin: `http://user:word@127.0.0.1:${port}`,
    seen,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const PROXY_AUTHORIZATION = `Basic ${Buffer.from('user:word').toString('base64')}`

test('https goes through a tunnel, verified end to end', async () => {
  await using proxy = await startProxy()
  await using server = await new ScriptedServer(() => MANIFEST.answer, {
    key: LOOPBACK_KEY,
    cert: LOOPBACK_CERT,
  }).start()
  await using client = createClient(`https://registry.test:${server.port}`, { proxy: proxy.origin })
  const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull, failure('unreachable', 'tls'))
  await using dir = await makeTempDir()
  const caFile = join(dir.path, 'ca.pem')
  await writeFile(caFile, LOOPBACK_CERT)
  const { origin } = proxy
  const url = `https://registry.test:${server.port}`
  await using trusting = createClient(url, { proxy: origin, caFile })
  await trusting.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.equal(proxy.seen.at(-1), `CONNECT registry.test:${server.port} ${PROXY_AUTHORIZATION}`)
  assert.equal(server.requests[0]?.headers['proxy-authorization'], undefined)
})

test('http goes through the proxy of the environment, unless it is excepted', async () => {
  await using proxy = await startProxy()
  const environment = { httpsProxy: undefined, httpProxy: proxy.origin, noProxy: 'direct.test' }
  await using client = createClient('http://registry.test', {}, { proxyEnvironment: environment })
  await client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  assert.deepEqual(proxy.seen, [
    `GET http://registry.test/v2/acme/app/manifests/latest ${PROXY_AUTHORIZATION}`,
  ])
})

test('a proxy that refuses the tunnel is named, and its password is not', async () => {
  await using proxy = await startProxy(true)
  await using client = createClient('https://registry.test', { proxy: proxy.origin })
  const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull, (error: Error) => {
    assert.match(error.message, /proxy/)
    assert.ok(!error.message.includes('word'))
    return failure('unreachable', 'connect')(error)
  })
})
