import type { OnReadOpts, Socket } from 'node:net'

/** What a connection is read into: so large that what is done for each read costs nothing. */
const SLAB_BYTES = 1024 * 1024
/** A read into less than this would not be worth its system call. */
const LEAST_BYTES = 64 * 1024
/** Kept for the next connection, or the next megabyte of this one. */
const MAX_FREE = 4

/** How much of a slab was given out, and how much of that has come back. */
interface Account {
  readonly slab: Buffer
  given: number
  returned: number
  /** Nothing more is read into it. */
  isFull: boolean
}

/**
 * The memory that bodies are read into. Node gives each 64 KiB that it reads memory of their own, and
 * to collect that costs as much as all the rest of a download: V8 looks through everything it has
 * for each 32 MiB of it. What is given back here is read into again; what is not is collected.
 */
export class Slabs {
  readonly #accounts = new WeakMap<ArrayBufferLike, Account>()
  readonly #free: Account[] = []
  /** What the read that has just ended has left of its slab. */
  #rest: Buffer | undefined

  /** For any number of sockets: how they are to read. */
  get onread(): OnReadOpts {
    const slabs = this
    return {
      buffer: () => slabs.#next(),
      // As a socket does it by itself, but for the memory: `this` is the socket.
      callback(this: Socket, length: number, buffer: Uint8Array): boolean {
        return this.push(slabs.#read(length, buffer))
      },
    } as OnReadOpts
  }

  /** Its bytes are no longer needed: they may be overwritten. What was not read here is let be. */
  release(piece: Buffer): void {
    const account = this.#accounts.get(piece.buffer)
    if (account === undefined) return
    account.returned += piece.byteLength
    this.#reuse(account)
  }

  /** The first of the bytes just read; Node asks at once where the next are to go. */
  #read(length: number, buffer: Uint8Array): Buffer {
    const { buffer: memory, byteOffset, byteLength } = buffer
    const account = this.#accounts.get(memory)
    const isWorthMore = byteLength - length >= LEAST_BYTES
    if (isWorthMore) this.#rest = Buffer.from(memory, byteOffset + length, byteLength - length)
    if (account !== undefined) {
      account.given += length
      account.isFull = !isWorthMore
    }
    return Buffer.from(memory, byteOffset, length)
  }

  #next(): Buffer {
    const rest = this.#rest ?? this.#take().slab
    this.#rest = undefined
    return rest
  }

  #take(): Account {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    const account = { slab, given: 0, returned: 0, isFull: false }
    this.#accounts.set(slab.buffer, account)
    return account
  }

  #reuse(account: Account): void {
    if (!account.isFull || account.returned < account.given || this.#free.length === MAX_FREE) {
      return
    }
    account.given = 0
    account.returned = 0
    account.isFull = false
    this.#free.push(account)
  }
}
