/** What goes to the admin API and comes from it without an end, to a server and within the process. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { Agent, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'

import { AdminError } from '../../src/admin/errors.ts'
import { LineStream } from '../../src/admin/line-stream.ts'
import { AdminClient } from '../../src/cli/admin-client.ts'
import { remoteTransport } from '../../src/cli/admin-transport.ts'
import { makeTokenFile } from '../admin/site.ts'
import { MIB, pieces, StreamSite, TAPE, WAYS } from '../admin/stream-site.ts'
import { send } from '../support/http-client.ts'

const NOTHING = new URLSearchParams()
/** What may be under way: buffers of two sockets, whose size the kernel chooses, and of the streams. */
const UNDER_WAY = 32 * MIB
const LARGE = 160

/** Ends with the last line. */
async function linesOf(lines: AsyncIterable<object>): Promise<object[]> {
  return Array.fromAsync(lines)
}

function upload(client: AdminClient, body: Readable, query = NOTHING) {
  return linesOf(client.upload('/tape', query, body, { mediaType: TAPE }))
}

async function isClosed(body: Readable): Promise<void> {
  if (body.closed) return
  await new Promise((resolve) => body.once('close', resolve))
}

function answerInLines(site: StreamSite): void {
  site.taking = async (body, response) => {
    const lines = new LineStream(response, { monotonic: () => performance.now() }, { bytes: 0 })
    const hash = createHash('sha256')
    let bytes = 0
    for await (const piece of body) {
      hash.update(piece)
      bytes += piece.length
      lines.write({ bytes })
    }
    lines.end({ bytes, hash: hash.digest('hex') })
    return { body: undefined, result: { bytes } }
  }
}

for (const way of WAYS) {
  test(`${way}: a large body is sent as it is read, and every line of the answer comes meanwhile`, async () => {
    await using site = await StreamSite.start()
    const client = site.client[way]
    answerInLines(site)
    const expected = createHash('sha256')
    for await (const piece of pieces(3)) expected.update(piece)
    const seen: number[] = []
    let sent = 0
    const release = Promise.withResolvers<void>()
    const body = async function* () {
      for await (const piece of pieces(3)) {
        yield piece
        sent++
        // No more is sent before the server has said that it has the first of it.
        await release.promise
      }
    }
    const query = new URLSearchParams({ name: 'a b' })
    let last: object = {}
    for await (const line of client.upload('/tape', query, Readable.from(body()), {
      mediaType: TAPE,
      size: 3 * MIB,
    })) {
      const { bytes } = line as { bytes: number }
      seen.push(sent)
      if (bytes === MIB) release.resolve()
      last = line
    }
    assert.ok((seen[1] ?? 3) <= 1, 'lines came only after everything was sent')
    assert.deepEqual(last, { bytes: 3 * MIB, hash: expected.digest('hex') })
    const [audited] = await site.audit(1)
    assert.deepEqual(
      [audited?.['parameters'], audited?.['by'], audited?.['result']],
      [{ query: { name: 'a b' } }, way === 'local' ? 'owner' : 'loopback', { bytes: 3 * MIB }],
    )
  })

  test(`${way}: neither end has to hold what the other does not take yet`, async () => {
    await using site = await StreamSite.start()
    const client = site.client[way]
    let given = 0
    let taken = 0
    let most = 0
    const source = () => pieces(LARGE, () => (given += MIB))
    const slowly = async (from: AsyncIterable<Uint8Array>) => {
      for await (const piece of from) {
        taken += piece.length
        most = Math.max(most, given - taken)
        await setImmediate()
      }
    }
    site.giving = source
    await slowly(client.download('/copy', {}, TAPE))
    assert.equal(taken, LARGE * MIB)
    assert.ok(most < UNDER_WAY, `${most} bytes under way in a download`)

    ;[given, taken, most] = [0, 0, 0]
    site.taking = async (body, response) => {
      const monotonic = () => performance.now()
      const lines = new LineStream(response, { monotonic }, { event: 'started' })
      await slowly(body)
      lines.end({ taken })
      return { body: undefined }
    }
    const lines = await upload(client, Readable.from(source()))
    assert.deepEqual(lines.at(-1), { taken: LARGE * MIB })
    assert.ok(most < UNDER_WAY, `${most} bytes under way in an upload`)
  })

  test(`${way}: a failure in the middle of a body is answered, and ends the sending`, async () => {
    await using site = await StreamSite.start()
    site.taking = async (body) => {
      for await (const _ of body) break
      throw new AdminError('INVALID', { message: 'this is no tape' })
    }
    // It has no end: only being stopped ends it.
    const body = Readable.from(pieces(Number.POSITIVE_INFINITY))
    await assert.rejects(upload(site.client[way], body), {
      name: 'ExitError',
      exitCode: 2,
      message: 'this is no tape',
    })
    await isClosed(body)
    const [audited] = await site.audit(1)
    assert.deepEqual([audited?.['code'], audited?.['level']], ['INVALID', 'warn'])
  })

  test(`${way}: a body that cannot be read on is said as it is, and the server is told`, async () => {
    await using site = await StreamSite.start()
    const failing = async function* () {
      yield Buffer.alloc(MIB)
      throw new Error('the tape is torn')
    }
    await assert.rejects(
      upload(site.client[way], Readable.from(failing())),
      /^Error: the tape is torn$/,
    )
    const [audited] = await site.audit(1)
    assert.deepEqual(
      [audited?.['code'], audited?.['reason']],
      ['INVALID', 'the body ended before its end'],
    )
    assert.ok(site.logs.every(({ level }) => level !== 'error'))
  })

  test(`${way}: who stops reading lines ends the sending, and the server sees it`, async () => {
    await using site = await StreamSite.start()
    answerInLines(site)
    const body = Readable.from(pieces(Number.POSITIVE_INFINITY))
    const lines = site.client[way].upload('/tape', NOTHING, body, { mediaType: TAPE })
    await lines.next()
    await lines.return()
    await isClosed(body)
    const [audited] = await site.audit(1)
    assert.equal(audited?.['reason'], 'the body ended before its end')
  })

  test(`${way}: what is given comes whole, byte for byte`, async () => {
    await using site = await StreamSite.start()
    site.giving = () => pieces(5)
    const copy = await buffer(site.client[way].download('/copy', { what: 1 }, TAPE))
    assert.ok(copy.equals(await buffer(pieces(5))))
    const [audited] = await site.audit(1)
    assert.deepEqual(
      [audited?.['parameters'], audited?.['result']],
      [{ input: { what: 1 } }, { bytes: 5 * MIB, complete: true }],
    )
    site.giving = () => pieces(0)
    assert.equal((await buffer(site.client[way].download('/copy', {}, TAPE))).length, 0)
  })

  test(`${way}: what fails before the first byte has its reason, later it is a cut`, async () => {
    await using site = await StreamSite.start()
    const client = site.client[way]
    const failing = async function* (count: number, error: Error) {
      yield* pieces(count)
      throw error
    }
    const none = new AdminError('NOT_FOUND', { message: 'there is no such tape' })
    site.giving = () => failing(0, none)
    await assert.rejects(buffer(client.download('/copy', {}, TAPE)), {
      exitCode: 6,
      message: 'there is no such tape',
    })
    site.giving = () => failing(3, new Error('canary'))
    await assert.rejects(buffer(client.download('/copy', {}, TAPE)), {
      exitCode: 1,
      message: /^the answer of .* was cut: see its log$/,
    })
    assert.equal((await site.audit(2)).at(-1)?.['code'], 'INTERNAL')
    assert.equal(site.logs.filter(({ msg }) => msg === 'admin API').length, 1)
  })

  test(`${way}: who leaves in the middle of a download ends it, even where nothing comes`, async () => {
    await using site = await StreamSite.start()
    const left = fallsSilent(site)
    for await (const _ of site.client[way].download('/copy', {}, TAPE)) break
    await left
    const [audited] = await site.audit(1)
    assert.deepEqual(audited?.['result'], { bytes: MIB, complete: false })
  })

  test(`${way}: a signal ends a download that is waited for`, async () => {
    await using site = await StreamSite.start()
    const left = fallsSilent(site)
    const ending = new AbortController()
    const copy = site.client[way].download('/copy', {}, TAPE, ending.signal)
    for (let bytes = 0; bytes < MIB; ) bytes += (await copy.next()).value?.length ?? MIB
    const waiting = copy.next()
    ending.abort()
    await assert.rejects(waiting, { exitCode: 1 })
    await left
    const [audited] = await site.audit(1)
    assert.deepEqual(audited?.['result'], { bytes: MIB, complete: false })
  })
}

test('without the right token nothing of a body is read, and nothing is given', async () => {
  await using tokens = await makeTokenFile()
  await using other = await makeTokenFile()
  await writeFile(tokens.file, 'correct-horse-battery-staple')
  await writeFile(other.file, 'wrong-horse-battery-staple')
  await using site = await StreamSite.start(tokens.file, other.file)
  let reads = 0
  site.taking = async () => {
    reads++
    return { body: {} }
  }
  site.giving = () => {
    reads++
    return pieces(1)
  }
  const body = Readable.from(pieces(Number.POSITIVE_INFINITY))
  const refusal = { exitCode: 1, message: /^the admin token is wrong\nsay --token-file/ }
  await assert.rejects(upload(site.client.remote, body), refusal)
  await isClosed(body)
  await assert.rejects(buffer(site.client.remote.download('/copy', {}, TAPE)), refusal)
  assert.equal(reads, 0)
  const audited = await site.audit(2)
  assert.deepEqual(
    audited.map(({ action, code }) => [action, code]),
    [
      ['tape', 'UNAUTHORIZED'],
      ['copy', 'UNAUTHORIZED'],
    ],
  )
})

test('a body of another type, or a compressed one, is not read', async () => {
  await using site = await StreamSite.start()
  site.taking = () => Promise.reject(new Error('it was read'))
  for (const headers of [
    { 'Content-Type': 'text/plain' },
    { 'Content-Type': 'application/json' },
    {},
    { 'Content-Type': TAPE, 'Content-Encoding': 'gzip' },
  ] as readonly Readonly<Record<string, string>>[]) {
    const body = gzipSync('{}')
    const answer = await send(site.url, '/api/v1/tape', { method: 'POST', headers, body })
    assert.equal(answer.status, 415)
    assert.match(answer.body.toString(), /Content-Type: application\/x-tape, not compressed/)
  }
})

test('what is left of a body is thrown away, so that its connection can be used again', {
  // Sooner than the listener cuts what goes on sending.
  timeout: 8_000,
}, async () => {
  await using site = await StreamSite.start()
  const ports = new Set<number | undefined>()
  site.taking = async (body, { req }) => {
    ports.add(req.socket.remotePort)
    for await (const _ of body) break
    throw new AdminError('INVALID')
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const body = Buffer.alloc(32 * MIB)
  for (const _ of [1, 2]) {
    const headers = { 'Content-Type': TAPE }
    const answer = await send(site.url, '/api/v1/tape', { method: 'POST', headers, body, agent })
    assert.equal(answer.status, 400)
  }
  agent.destroy()
  assert.equal(ports.size, 1)
})

test('what is no Larder is not taken for one, and a redirect is not followed', async () => {
  await using tokens = await makeTokenFile()
  await writeFile(tokens.file, 'correct-horse-battery-staple')
  const shown: (string | undefined)[] = []
  const server = createServer((request, response) => {
    shown.push(request.headers.authorization)
    request.resume()
    if (request.url?.startsWith('/api/v1/tape')) {
      response.writeHead(307, { Location: '/elsewhere' }).end()
    } else response.end('<html>hello</html>')
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const client = new AdminClient(remoteTransport(url), tokens.file)
    await assert.rejects(upload(client, Readable.from(pieces(1))), {
      exitCode: 1,
      message: `${url} answers 307, not as Larder's admin API does: is it server.adminListen?`,
    })
    await assert.rejects(buffer(client.download('/copy', {}, TAPE)), {
      exitCode: 1,
      message: `${url} answers 200, not as Larder's admin API does: is it server.adminListen?`,
    })
    assert.equal(shown.length, 2)
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

/** Gives one piece and then nothing. @returns settles once whoever has asked has left */
function fallsSilent(site: StreamSite): Promise<void> {
  const left = Promise.withResolvers<void>()
  site.giving = async function* (signal) {
    yield* pieces(1)
    await new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        left.resolve()
        reject(signal.reason)
      })
    })
  }
  return left.promise
}
