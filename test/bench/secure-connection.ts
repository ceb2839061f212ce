import type { OnReadOpts } from 'node:net'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'

/** A TLS record holds 16 KiB. */
const BUFFER_BYTES = 64 * 1024
const END = '\r\n\r\n'

/** What came for a request. */
export interface Received {
  readonly bytes: number
  /** From sending to the first byte of the body, milliseconds. */
  readonly firstByteMs: number
}

interface Pending {
  readonly startedAt: number
  readonly resolve: (received: Received) => void
  readonly reject: (error: Error) => void
}

/** A connection over TLS that is asked for one thing at a time, and keeps nothing of what comes. */
export class SecureConnection implements Disposable {
  readonly #socket: TLSSocket
  #pending: Pending | undefined
  /** What has come of a header block. */
  #head = ''
  #length = 0
  #left = 0
  #firstByteMs: number | undefined

  /** To a port of 127.0.0.1, with a certificate that nobody signed. */
  static async open(port: number): Promise<SecureConnection> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const connection = new SecureConnection(port, resolve, reject)
    await promise
    return connection
  }

  private constructor(port: number, opened: () => void, failed: (error: Error) => void) {
    const options: ConnectionOptions & { readonly onread: OnReadOpts } = {
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      // Into the same memory each time: a body that is made of buffers costs twice as much.
      onread: {
        buffer: new Uint8Array(BUFFER_BYTES),
        callback: (count, buffer) => {
          this.#take(buffer.subarray(0, count))
          return true
        },
      },
    }
    this.#socket = connect(options, opened)
    this.#socket.setNoDelay().on('error', (error) => {
      failed(error)
      this.#fail(error.message)
    })
    this.#socket.on('close', () => this.#fail('closed before the end of an answer'))
  }

  /** @throws {Error} when the answer is none, or anything but a whole 200 with its length */
  get(path: string, headers: readonly string[]): Promise<Received> {
    const { promise, resolve, reject } = Promise.withResolvers<Received>()
    this.#pending = { startedAt: performance.now(), resolve, reject }
    const lines = [`GET ${path} HTTP/1.1`, 'Host: bench', 'User-Agent: bench', ...headers]
    this.#socket.write(`${lines.join('\r\n')}${END}`)
    return promise
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }

  #take(bytes: Uint8Array): void {
    if (this.#left > 0) this.#takeBody(bytes.length)
    else this.#takeHead(bytes)
  }

  /** What is behind the header block is of the body. */
  #takeHead(bytes: Uint8Array): void {
    this.#head += Buffer.from(bytes).toString('latin1')
    const end = this.#head.indexOf(END)
    if (end === -1) return
    const head = this.#head.slice(0, end)
    const early = this.#head.length - end - END.length
    this.#head = ''
    const length = Number(/^content-length: *(\d+)$/im.exec(head)?.[1])
    if (!/^HTTP\/1\.1 200 /.test(head) || Number.isNaN(length)) {
      this.#fail(`answered '${head.split('\r\n')[0]}', or without a length`)
      return
    }
    this.#length = length
    this.#left = length
    this.#firstByteMs = undefined
    if (early > 0 || length === 0) this.#takeBody(early)
  }

  #takeBody(count: number): void {
    const pending = this.#pending
    if (pending === undefined || count > this.#left) {
      this.#fail('more came than was asked for')
      return
    }
    this.#firstByteMs ??= performance.now() - pending.startedAt
    this.#left -= count
    if (this.#left > 0) return
    this.#pending = undefined
    pending.resolve({ bytes: this.#length, firstByteMs: this.#firstByteMs })
  }

  #fail(reason: string): void {
    this.#pending?.reject(new Error(reason))
    this.#pending = undefined
    this.#socket.destroy()
  }
}
