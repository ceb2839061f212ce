import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'

import type { ByteRange } from '../../src/pull/content.ts'
import type { Flight } from '../../src/pull/flight.ts'

/** One reader of a flight, and how it behaves. */
export interface Passenger {
  /** Turns of the event loop before it comes. */
  readonly comesAfter: number
  /** Where its range is, as shares of the size; `undefined`: the whole. */
  readonly range?: { readonly from: number; readonly to: number } | undefined
  /** Leaves after so many bytes. */
  readonly leavesAfter?: number | undefined
  /** Is away, with bytes in its hand, after its first piece: so many turns, or until the end. */
  readonly stalls?: number | 'until landed' | undefined
}

export interface Journey {
  readonly range: ByteRange
  readonly bytes: Buffer
  readonly end: 'complete' | 'left' | 'cut' | 'refused'
  readonly error?: unknown
}

/** Comes aboard as `Blobs` lets clients aboard, and reads. Settles whatever happens. */
export async function travel(flight: Flight, passenger: Passenger): Promise<Journey> {
  await turns(passenger.comesAfter)
  const nowhere = { start: 0, end: -1 }
  try {
    await flight.opened
  } catch (error) {
    return { range: nowhere, bytes: Buffer.alloc(0), end: 'refused', error }
  }
  const range = rangeOf(passenger, flight.size)
  if (!flight.isJoinable) return { range, bytes: Buffer.alloc(0), end: 'refused' }
  return read(flight, range, passenger)
}

async function read(flight: Flight, range: ByteRange, passenger: Passenger): Promise<Journey> {
  const { leavesAfter = Number.POSITIVE_INFINITY, stalls } = passenger
  const pieces: Buffer[] = []
  let received = 0
  const soFar = () => ({ range, bytes: Buffer.concat(pieces) })
  try {
    for await (const piece of flight.read(range)) {
      assert.ok(piece.length > 0, 'a piece of nothing')
      const isFirst = pieces.length === 0
      if (isFirst && stalls === 'until landed') await flight.landed.catch(() => undefined)
      else if (isFirst && typeof stalls === 'number') await turns(stalls)
      // What is lent has to be right until the next is asked for.
      pieces.push(Buffer.from(piece))
      received += piece.length
      if (received >= leavesAfter) return { ...soFar(), end: 'left' }
    }
    return { ...soFar(), end: 'complete' }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
    return { ...soFar(), end: 'cut', error }
  }
}

function rangeOf({ range }: Passenger, size: number): ByteRange {
  if (range === undefined || size === 0) return { start: 0, end: size - 1 }
  const start = Math.min(size - 1, Math.floor(range.from * size))
  return { start, end: Math.max(start, Math.min(size - 1, Math.floor(range.to * size))) }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate()
}
