import { setImmediate } from 'node:timers/promises'

import express from 'express'
import { z } from 'zod'

import { Authority, OWNER } from '../../src/admin/authority.ts'
import { sendBytes } from '../../src/admin/byte-stream.ts'
import type { Outcome, Upload } from '../../src/admin/endpoint.ts'
import { createRouter } from '../../src/admin/router.ts'
import { AdminClient } from '../../src/cli/admin-client.ts'
import { remoteTransport } from '../../src/cli/admin-transport.ts'
import { localTransport } from '../../src/cli/local-transport.ts'
import { Listener } from '../../src/listener.ts'
import { createLogger } from '../../src/log.ts'
import type { LogLine } from './site.ts'

export const TAPE = 'application/x-tape'
export const MIB = 1024 * 1024
export const WAYS = ['remote', 'local'] as const

/** One endpoint that takes bytes and one that gives them, as a test wants them to be. */
export class StreamSite implements AsyncDisposable {
  readonly logs: LogLine[] = []
  /** Answers `POST /tape`. */
  taking: (body: AsyncIterable<Buffer>, response: Parameters<Taking>[1]) => Promise<Outcome> =
    async (body) => {
      let bytes = 0
      for await (const piece of body) bytes += piece.length
      return { body: { bytes } }
    }
  /** Is answered to `POST /copy`. */
  giving: (signal: AbortSignal) => AsyncIterable<Uint8Array> = () => pieces(1)
  readonly client: Readonly<Record<(typeof WAYS)[number], AdminClient>>
  readonly #listener: Listener

  static async start(tokenFile?: string, shown = tokenFile): Promise<StreamSite> {
    const site = new StreamSite(tokenFile)
    await site.#listener.listen()
    const { url } = site
    Object.assign(site.client, { remote: new AdminClient(remoteTransport(url), shown) })
    return site
  }

  private constructor(tokenFile: string | undefined) {
    const write = (line: string) => void this.logs.push(JSON.parse(line) as LogLine)
    const logger = createLogger({ level: 'debug', format: 'json', destination: { write } })
    const monotonic = () => performance.now()
    const listenHost = '127.0.0.1'
    const authority = new Authority({ tokenFile: () => tokenFile, listenHost, monotonic })
    const endpoints = [this.#takingEndpoint(), this.#givingEndpoint()]
    const handlers = [authority, OWNER].map((one) =>
      express().use('/api/v1', createRouter(endpoints, { authority: one, logger })),
    )
    const [remote = express(), local = express()] = handlers
    this.#listener = new Listener({
      address: { host: listenHost, port: 0 },
      tls: undefined,
      handler: remote,
      onTlsError: () => {},
    })
    const transport = localTransport({ name: 'here', handler: local, close: async () => {} })
    const client = new AdminClient(transport, undefined)
    this.client = { remote: client, local: client }
  }

  get url(): string {
    return this.#listener.url
  }

  /** What the log says of changes, once there are so many lines of it. */
  async audit(lines: number): Promise<readonly LogLine[]> {
    for (const endsAt = performance.now() + 10_000; performance.now() < endsAt; ) {
      const found = this.logs.filter(({ action }) => action !== undefined)
      if (found.length >= lines) return found
      await setImmediate()
    }
    throw new Error(`waited in vain for ${lines} lines: ${JSON.stringify(this.logs)}`)
  }

  #takingEndpoint() {
    const upload: Upload = {
      action: 'tape',
      body: 'stream',
      mediaType: TAPE,
      input: z.unknown(),
      prepare: (query) => ({
        parameters: { query },
        run: (body, response) => this.taking(body, response),
      }),
    }
    return { path: '/tape', post: upload }
  }

  #givingEndpoint() {
    const prepare = (input: unknown) => ({
      parameters: { input },
      run: async (response: Parameters<Taking>[1]) => {
        const sent = await sendBytes(response, TAPE, (signal) => this.giving(signal))
        return { body: undefined, result: sent }
      },
    })
    return { path: '/copy', post: { action: 'copy', input: z.unknown(), prepare } }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.local[Symbol.asyncDispose]()
    await this.#listener.close(0)
  }
}

type Taking = ReturnType<Upload['prepare']>['run']

/** So many MiB, each with its number at its start. */
export async function* pieces(count: number, onPiece = (_at: number) => {}) {
  for (let at = 0; at < count; at++) {
    const piece = Buffer.alloc(MIB)
    piece.writeUInt32BE(at)
    onPiece(at)
    yield piece
  }
}
