/** What the thread of a {@link HashThread} runs. */
import { createHash, type Hash } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'

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

const ring = workerData as Uint8Array
const hashes = new Map<number, Hash>()
let at = 0

function receive(message: ToHashThread): void {
  switch (message.kind) {
    case 'begin':
      hashes.set(message.id, createHash(message.algorithm))
      break
    case 'take':
      say({ kind: 'taken', bytes: take(message.parts) })
      break
    case 'finish': {
      const encoded = hashes.get(message.id)?.digest('hex') ?? ''
      hashes.delete(message.id)
      say({ kind: 'finished', id: message.id, encoded })
      break
    }
    case 'leave':
      hashes.delete(message.id)
      break
    default:
      message satisfies never
  }
}

function take(parts: readonly number[]): number {
  let bytes = 0
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const [id = 0, length = 0] = parts.slice(i, i + 2)
    hash(hashes.get(id), length)
    bytes += length
  }
  return bytes
}

/** @param one undefined for who has left: what is theirs is passed over */
function hash(one: Hash | undefined, length: number): void {
  for (let left = length; left > 0; ) {
    const piece = ring.subarray(at, at + left)
    one?.update(piece)
    left -= piece.length
    at = (at + piece.length) % ring.length
  }
}

function say(message: FromHashThread): void {
  parentPort?.postMessage(message)
}

parentPort?.on('message', receive)
say({ kind: 'ready' })
