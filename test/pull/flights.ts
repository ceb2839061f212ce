import { setImmediate } from 'node:timers/promises'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { type ErrorCode, RegistryError } from '../../src/oci/errors.ts'
import { ChunkPool } from '../../src/pull/chunk-pool.ts'
import { Flight, type FlightOptions } from '../../src/pull/flight.ts'
import type { Ingest } from '../../src/store/ports.ts'
import { seededBytes } from '../support/images.ts'
import { FakeIngest, type FakeIngestOptions } from './fake-ingest.ts'
import { ScriptedSource, type SourceAnswer } from './scripted-source.ts'

export const MIB = 1024 * 1024

/** Whoever still looks at what he was lent sees that it is not his any more. */
export function wipingPool(): ChunkPool {
  return new ChunkPool({ plenty: 0, onFreed: (chunk) => chunk.fill(0xdd) })
}

const POOL = seededBytes('flight', 48 * MIB)

export interface SampleBlob {
  readonly bytes: Buffer
  readonly digest: Digest
}

/** Bytes of that length; another seed, other bytes. */
export function sampleBlob(size: number, seed = 0): SampleBlob {
  const from = (seed * 4099) % (POOL.length - size)
  const bytes = POOL.subarray(from, from + size)
  return { bytes, digest: digestOf(bytes) }
}

export interface TestFlight<Disk extends Ingest | undefined = FakeIngest> {
  readonly flight: Flight
  readonly source: ScriptedSource
  readonly ingest: Disk
  /** What the disk refused. */
  readonly refusals: unknown[]
  readonly events: { fetched: number; resumed: number; mismatched: number; broken: number }
  /** The pauses between attempts, in milliseconds: none was waited. */
  readonly delays: readonly number[]
}

type Options = Partial<Omit<FlightOptions, 'digest' | 'open' | 'ingest' | 'events'>> & {
  readonly disk?: Omit<FakeIngestOptions, 'digest'>
}

/** A flight of `digest` from a registry that answers so, into a disk in memory. */
export function depart(
  digest: Digest,
  answers: SourceAnswer | readonly SourceAnswer[],
  { disk, ...options }: Options = {},
): TestFlight {
  return departInto(new FakeIngest({ digest, ...disk }), digest, answers, options)
}

export function departInto<Disk extends Ingest | undefined>(
  ingest: Disk,
  digest: Digest,
  answers: SourceAnswer | readonly SourceAnswer[],
  options: Omit<Options, 'disk'> = {},
): TestFlight<Disk> {
  const list: readonly SourceAnswer[] = Array.isArray(answers) ? answers : [answers]
  const source = new ScriptedSource(...list)
  const refusals: unknown[] = []
  const delays: number[] = []
  const events = { fetched: 0, resumed: 0, mismatched: 0, broken: 0 }
  let sleptMs = 0
  const flight = new Flight({
    digest,
    upstream: 'test',
    open: source.openAt,
    ingest,
    pool: wipingPool(),
    sizeHint: undefined,
    elapsed: () => performance.now() + sleptMs,
    random: () => 0.5,
    sleep: async (delayMs, signal) => {
      delays.push(delayMs)
      sleptMs += delayMs
      await setImmediate(undefined, { signal })
    },
    ...options,
    events: {
      fetched: (bytes) => {
        events.fetched += bytes
      },
      resumed: () => {
        events.resumed++
      },
      broken: () => {
        events.broken++
      },
      mismatched: () => {
        events.mismatched++
      },
      storeFailed: (error) => void refusals.push(error),
    },
  })
  return { flight, source, ingest, refusals, events, delays }
}

/** All of the range, or the error that cut it. */
export async function readAll(
  flight: Flight,
  range = { start: 0, end: flight.size - 1 },
): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of flight.read(range)) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

/** Flips the bits of one byte; a negative position counts from the end. */
export function corrupted(bytes: Buffer, position: number): Buffer {
  const wrong = Buffer.from(bytes)
  const index = position < 0 ? wrong.length + position : position
  wrong.writeUInt8((wrong[index] ?? 0) ^ 0xff, index)
  return wrong
}

/** For `assert.rejects`: what a client can be told, with that code. */
export function refusal(code: ErrorCode, status?: number): (error: unknown) => boolean {
  return (error) => {
    if (!(error instanceof RegistryError) || error.code !== code) throw error
    return status === undefined || error.status === status
  }
}
