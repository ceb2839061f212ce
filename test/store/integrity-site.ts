import { chmod, open, truncate } from 'node:fs/promises'
import { join } from 'node:path'

import { algorithmOf, type Digest, encodedOf } from '../../src/oci/digest.ts'
import { Checker, type Fault } from '../../src/store/check.ts'
import { CheckRecorder } from '../../src/store/check-recorder.ts'
import { ChunkCache } from '../../src/store/chunks.ts'
import { Damage } from '../../src/store/damage.ts'
import type { FailAt } from '../../src/store/failpoints.ts'
import { type Refetch, Repair } from '../../src/store/repair.ts'
import { Scrub } from '../../src/store/scrub.ts'
import { Sendings } from '../../src/store/sending.ts'
import { BlobShelves } from '../../src/store/shelves.ts'
import { Verification } from '../../src/store/verify.ts'
import { type CappedSite, DAY } from './capped-site.ts'

export interface IntegrityOptions {
  /** Of the chunk cache. */
  readonly maxBytes: number
  readonly failAt?: FailAt
  readonly refetch?: Refetch
}

/** What looks after the bytes of a site, on its clock. */
export type Integrity = ReturnType<typeof integrityOf>

export function integrityOf(site: CappedSite, { maxBytes, failAt, refetch }: IntegrityOptions) {
  const { catalog, leases, files: blobs, time } = site
  const now = () => time.now
  const faults: [Digest, Fault][] = []
  const verified: Digest[] = []
  const failures: string[] = []
  const onError = (error: unknown) => void failures.push(String(error))
  const chunks = new ChunkCache({ maxBytes })
  const sendings = new Sendings()
  const recorder = new CheckRecorder({
    catalog,
    flushIntervalMs: 3_600_000,
    onVerified: (digest) => void verified.push(digest),
    onError,
    now,
  })
  const damage = new Damage({
    blobs,
    catalog,
    chunks,
    sendings,
    events: {
      damaged: (digest, fault) => void faults.push([digest, fault]),
      storeFailed: (operation) => void failures.push(operation),
    },
    ...(failAt === undefined ? {} : { failAt }),
  })
  const checker = new Checker({ blobs, catalog, leases, recorder, damage })
  const shelves = new BlobShelves({ blobs, chunks, leases, sendings, recorder, damage })
  const repair = new Repair({ blobs, catalog, refetch: refetch ?? (async () => false), onError })
  /** Set by hand: the rate, whether there is load, and what happens when it would sleep. */
  const scrubbing = {
    everyMs: (30 * DAY) as number | undefined,
    bytesPerSecond: 2 ** 40,
    isBusy: false,
    onSleep: (_delayMs: number): void | Promise<void> => {},
  }
  const sleep = async (delayMs: number, signal: AbortSignal) => {
    signal.throwIfAborted()
    time.elapsed += delayMs
    await scrubbing.onSleep(delayMs)
    signal.throwIfAborted()
  }
  const ready = Promise.resolve()
  const common = { catalog, checker, recorder, ready }
  const scrub = new Scrub({
    ...common,
    ...(refetch === undefined ? {} : { repair }),
    settings: () => scrubbing,
    isBusy: () => scrubbing.isBusy,
    onError,
    now,
    elapsed: () => time.elapsed,
    sleep,
  })
  const pins = { lost: async function* () {} }
  const verification = new Verification({ ...common, blobs, pins, repair })
  return {
    chunks,
    sendings,
    recorder,
    damage,
    checker,
    shelves,
    scrubbing,
    scrub,
    verification,
    faults,
    verified,
    failures,
  }
}

export function pathOf(path: string, digest: Digest): string {
  const hex = encodedOf(digest)
  return join(path, 'blobs', algorithmOf(digest), hex.slice(0, 2), hex)
}

/** A bit rots, in the file itself: whoever has it open reads it too. */
export async function flipByte(path: string, digest: Digest, at: number): Promise<void> {
  const file = pathOf(path, digest)
  await chmod(file, 0o644)
  const handle = await open(file, 'r+')
  try {
    const byte = Buffer.alloc(1)
    await handle.read(byte, 0, 1, at)
    byte.writeUInt8(byte.readUInt8() ^ 1)
    await handle.write(byte, 0, 1, at)
  } finally {
    await handle.close()
  }
}

export async function cutFile(path: string, digest: Digest, size: number): Promise<void> {
  const file = pathOf(path, digest)
  await chmod(file, 0o644)
  await truncate(file, size)
}
