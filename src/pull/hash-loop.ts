/** What the thread of a {@link HashThread} runs. */
import { createHash, type Hash } from 'node:crypto'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'

import type { Algorithm } from '../oci/digest.ts'

export type ToHashThread =
  | { readonly kind: 'begin'; readonly id: number; readonly algorithm: Algorithm }
  /** Pairs of whose bytes come next in the ring, and how many. */
  | { readonly kind: 'take'; readonly parts: readonly number[] }
  | { readonly kind: 'finish'; readonly id: number }
  | { readonly kind: 'leave'; readonly id: number }

export type FromHashThread =
  | { readonly kind: 'ready' }
  /** So many bytes of the ring may be overwritten. */
  | { readonly kind: 'taken'; readonly bytes: number }
  | { readonly kind: 'finished'; readonly id: number; readonly encoded: string }

/** Takes what comes next in the ring, in the order in which it was put there. */
class HashLoop {
  readonly #port: MessagePort
  readonly #ring: Uint8Array
  readonly #hashes = new Map<number, Hash>()
  #at = 0

  constructor(port: MessagePort, ring: Uint8Array) {
    this.#port = port
    this.#ring = ring
  }

  start(): void {
    this.#port.on('message', (message: ToHashThread) => this.#receive(message))
    this.#say({ kind: 'ready' })
  }

  #receive(message: ToHashThread): void {
    switch (message.kind) {
      case 'begin':
        this.#hashes.set(message.id, createHash(message.algorithm))
        break
      case 'take':
        this.#say({ kind: 'taken', bytes: this.#take(message.parts) })
        break
      case 'finish': {
        const encoded = this.#hashes.get(message.id)?.digest('hex') ?? ''
        this.#hashes.delete(message.id)
        this.#say({ kind: 'finished', id: message.id, encoded })
        break
      }
      case 'leave':
        this.#hashes.delete(message.id)
        break
      default:
        message satisfies never
    }
  }

  #take(parts: readonly number[]): number {
    let bytes = 0
    for (let i = 0; i + 1 < parts.length; i += 2) {
      const [id = 0, length = 0] = parts.slice(i, i + 2)
      // Of who has left, it is passed over.
      this.#hash(this.#hashes.get(id), length)
      bytes += length
    }
    return bytes
  }

  #hash(hash: Hash | undefined, length: number): void {
    for (let left = length; left > 0; ) {
      const piece = this.#ring.subarray(this.#at, this.#at + left)
      hash?.update(piece)
      left -= piece.length
      this.#at = (this.#at + piece.length) % this.#ring.length
    }
  }

  #say(message: FromHashThread): void {
    this.#port.postMessage(message)
  }
}

if (parentPort !== null) new HashLoop(parentPort, workerData as Uint8Array).start()
