import { extname, join } from 'node:path'
import { Worker } from 'node:worker_threads'

import { algorithmOf, type Digest } from '../oci/digest.ts'
import { ContentMismatchError } from '../oci/errors.ts'
import type { FromHashThread, ToHashThread } from './hash-loop.ts'
import type { Hashing } from './hashing.ts'

/** What may wait for the thread. The only memory that two threads see, and it is never let go. */
const RING_BYTES = 4 * 1024 * 1024
/** A message costs both threads some microseconds: one for so much. */
const MESSAGE_BYTES = 256 * 1024
/** What has no room in one piece comes in such. */
const PIECE_BYTES = 1024 * 1024

const PROGRAM = join(import.meta.dirname, `hash-loop${extname(import.meta.filename)}`)

/** The thread has ended by itself, and nobody knows what it had hashed. */
export class HashThreadError extends Error {
  override readonly name = 'HashThreadError'
}

/**
 * Hashes downloads beside the event loop. What is to be hashed is copied into a ring that both
 * threads see: a seventh of what hashing costs, and the bytes are their owner's again at once. The
 * chunks themselves could be shared, but V8 does not count shared memory, and would not let go of it.
 */
export class HashThread {
  readonly #ring = Buffer.from(new SharedArrayBuffer(RING_BYTES))
  readonly #worker: Worker
  readonly #verdicts = new Map<number, PromiseWithResolvers<string>>()
  #lastId = 0
  /** Bytes that were ever put into the ring, and those of them that are out of it. */
  #put = 0
  #taken = 0
  /** What the thread has not been told of yet. */
  #parts: number[] = []
  #untold = 0
  #room = Promise.withResolvers<void>()
  #isReady = false
  #isClosed = false
  #failure: HashThreadError | undefined

  /**
   * @param onFailed told once when it ends and was not told to
   * @param program what it runs instead
   */
  constructor(onFailed: (error: HashThreadError) => void, program = PROGRAM) {
    // Flags of the process are none of a thread's.
    this.#worker = new Worker(program, { name: 'hash', workerData: this.#ring, execArgv: [] })
    this.#worker.unref()
    this.#worker.on('message', (message: FromHashThread) => this.#receive(message))
    const fail = (reason: string) => {
      if (this.#isClosed || this.#failure !== undefined) return
      this.#failure = new HashThreadError(`the thread that hashes downloads has ended: ${reason}`)
      this.#endAll(this.#failure)
      onFailed(this.#failure)
    }
    this.#worker.on('error', (error: Error) => fail(error.message))
    this.#worker.on('exit', (code) => fail(`exit code ${code}`))
  }

  /** Whether what begins now is hashed at once. */
  get isReady(): boolean {
    return this.#isReady && !this.#isClosed && this.#failure === undefined
  }

  begin(digest: Digest): Hashing {
    const id = ++this.#lastId
    const algorithm = algorithmOf(digest)
    this.#tell({ kind: 'begin', id, algorithm })
    return {
      update: (bytes) => this.#update(id, bytes),
      finish: async () => {
        const actual = `${algorithm}:${await this.#finish(id)}`
        if (actual !== digest) throw new ContentMismatchError('digest', digest, actual)
      },
      leave: () => this.#tell({ kind: 'leave', id }),
    }
  }

  /** Whoever still waits for it is told that it is over. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#endAll(new HashThreadError('the thread that hashes downloads is told to end'))
    await this.#worker.terminate()
  }

  #update(id: number, bytes: Buffer): Promise<void> | undefined {
    if (this.#failure === undefined && bytes.length <= this.#free) {
      this.#copy(id, bytes)
      return undefined
    }
    return this.#updateAsThereIsRoom(id, bytes)
  }

  async #updateAsThereIsRoom(id: number, bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES)
      this.#tellParts()
      while (piece.length > this.#free) await this.#room.promise
      this.#throwFailure()
      this.#copy(id, piece)
    }
  }

  get #free(): number {
    return RING_BYTES - (this.#put - this.#taken)
  }

  #copy(id: number, bytes: Buffer): void {
    const at = this.#put % RING_BYTES
    // `set` would copy into shared memory word by word.
    const first = bytes.copy(this.#ring, at)
    bytes.copy(this.#ring, 0, first)
    this.#put += bytes.length
    this.#untold += bytes.length
    if (this.#parts.at(-2) === id) this.#parts.push((this.#parts.pop() ?? 0) + bytes.length)
    else this.#parts.push(id, bytes.length)
    if (this.#untold >= MESSAGE_BYTES) this.#tellParts()
  }

  #tellParts(): void {
    if (this.#untold === 0) return
    this.#tell({ kind: 'take', parts: this.#parts })
    this.#parts = []
    this.#untold = 0
  }

  async #finish(id: number): Promise<string> {
    this.#throwFailure()
    this.#tellParts()
    const verdict = Promise.withResolvers<string>()
    this.#verdicts.set(id, verdict)
    this.#tell({ kind: 'finish', id })
    return await verdict.promise
  }

  #receive(message: FromHashThread): void {
    switch (message.kind) {
      case 'ready':
        this.#isReady = true
        break
      case 'taken':
        this.#taken += message.bytes
        this.#wake()
        break
      case 'finished':
        this.#verdicts.get(message.id)?.resolve(message.encoded)
        this.#verdicts.delete(message.id)
        break
      default:
        message satisfies never
    }
  }

  #tell(message: ToHashThread): void {
    this.#worker.postMessage(message)
  }

  #wake(): void {
    const { resolve } = this.#room
    this.#room = Promise.withResolvers()
    resolve()
  }

  #endAll(error: HashThreadError): void {
    this.#failure = error
    // Nothing is in the way any more of whoever waits for room, to hear of it.
    this.#taken = this.#put
    this.#wake()
    for (const { reject } of this.#verdicts.values()) reject(error)
    this.#verdicts.clear()
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure
  }
}
