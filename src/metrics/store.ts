import type { Gauge } from 'prom-client'

import type { Instruments } from './instruments.ts'

const STORE_OPERATIONS = [
  'blob',
  'catalog',
  'evict',
  'ingest',
  'list',
  'manifest',
  'member',
  'quarantine',
  'read',
  'tag',
  'usage',
]

/** Why a content is not stored that the disk was not asked to take, or has no room for. */
const NOT_STORED = [
  'resting',
  'too_large',
  'unknown_size',
  'starting',
  'no_room',
  'no_inodes',
] as const

/** What is wrong with the disk; see `store/trouble.ts`. */
const TROUBLES = ['full', 'inodes', 'read_only', 'denied', 'io', 'descriptors', 'other'] as const

/** `io`: the disk could not read them. */
const CHECK_RESULTS = ['ok', 'digest', 'size', 'missing', 'io'] as const
const EVICTION_REASONS = ['lru', 'unused', 'manual', 'corrupt'] as const
const RUN_RESULTS = ['ok', 'error'] as const

const GC_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1_800]
const QUERY_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1]

export type QueryKind = 'read' | 'write'

export interface HealthReadings {
  /** Whether what is pulled is stored. */
  readonly isWritable: boolean
  readonly troubles: readonly (typeof TROUBLES)[number][]
}

export interface StoreReadings {
  readonly bytes: number
  readonly blobs: number
  readonly manifests: number
  readonly tags: number
  readonly quotaBytes: number
  readonly filesystemBytes: number
  readonly availableBytes: number
  /** Of downloads that are not finished; absent: nobody keeps count of them. */
  readonly partialBytes?: number
  /** Of the database, and of what was written to it and is not in it yet. */
  readonly databaseBytes?: number
  readonly databaseLogBytes?: number
  /** When what would be evicted first was used, epoch milliseconds; absent: nothing would. */
  readonly oldestAccessAt?: number | undefined
}

export interface PinReadings {
  readonly pinnedBytes: number
  /** References that have everything in the store. */
  readonly complete: number
  readonly incomplete: number
}

/** What is on disk, what was done to keep it in order, and how the disk takes that. */
export class StoreMetrics {
  readonly #gauges: Readonly<Record<Exclude<keyof StoreReadings, 'oldestAccessAt'>, Gauge>>
  readonly #oldestAccess
  readonly #pinnedBytes
  readonly #pins
  readonly #writable
  readonly #trouble
  readonly #integrity
  readonly #errors
  readonly #notStored
  readonly #evictions
  readonly #evictedBytes
  readonly #gcRuns
  readonly #gcSeconds
  readonly #gcSuccess
  readonly #querySeconds

  constructor(instruments: Instruments) {
    const gauge = (name: string, help: string) => instruments.gauge(name, help)
    this.#gauges = {
      bytes: gauge('store_bytes', 'Bytes of content on disk'),
      blobs: gauge('store_blobs', 'Blobs on disk'),
      manifests: gauge('store_manifests', 'Manifests known'),
      tags: gauge('store_tags', 'Tags known'),
      quotaBytes: gauge('store_quota_bytes', 'The cap that is configured'),
      filesystemBytes: gauge('store_filesystem_size_bytes', 'Size of the disk'),
      availableBytes: gauge('store_filesystem_avail_bytes', 'Free on the disk'),
      partialBytes: gauge('store_partial_bytes', 'Bytes of downloads not finished'),
      databaseBytes: gauge('db_size_bytes', 'Bytes of the database'),
      databaseLogBytes: gauge('db_wal_size_bytes', 'Bytes of its write-ahead log'),
    }
    this.#oldestAccess = gauge(
      'store_oldest_access_timestamp_seconds',
      'When what would be evicted first was used: how far back the cache reaches',
    )
    this.#pinnedBytes = gauge(
      'store_pinned_bytes',
      'Bytes of everything in the store that pins protect',
    )
    this.#pins = instruments.gauge(
      'pins',
      'Pinned references, by whether everything they need is in the store',
      ['state'],
    )
    this.#writable = gauge(
      'store_writable',
      '0 while the disk refuses writes: pulls pass through uncached',
    )
    this.#trouble = instruments.gauge('store_trouble', '1 for what is wrong with the disk now', [
      'reason',
    ])
    this.#integrity = instruments.counter(
      'integrity_checks_total',
      'Stored contents that were read and hashed: ok, or what was wrong with them',
      ['result'],
    )
    this.#errors = instruments.counter('store_errors_total', 'Writes that the disk refused', [
      'operation',
    ])
    this.#notStored = instruments.counter(
      'store_not_stored_total',
      'Contents that passed through uncached: for want of room, or as the disk refuses writes',
      ['reason'],
    )
    this.#evictions = instruments.counter(
      'evictions_total',
      'Contents removed: not used for longest, not used for too long, by hand, damaged',
      ['reason'],
    )
    this.#evictedBytes = instruments.counter('evicted_bytes_total', 'Bytes of contents removed', [
      'reason',
    ])
    this.#gcRuns = instruments.counter(
      'gc_runs_total',
      'Times that the store was put in order, regularly or as somebody asked',
      ['result'],
    )
    this.#gcSeconds = instruments.histogram(
      'gc_duration_seconds',
      'How long that took',
      [],
      GC_SECONDS,
    )
    this.#gcSuccess = gauge(
      'gc_last_success_timestamp_seconds',
      'When that was last done to its end',
    )
    this.#querySeconds = instruments.histogram(
      'db_query_duration_seconds',
      'Of a question to the database or a write to it, for which all else waits',
      ['op'],
      QUERY_SECONDS,
    )
    this.#initialize()
  }

  #initialize(): void {
    for (const result of CHECK_RESULTS) this.#integrity.inc({ result }, 0)
    for (const reason of EVICTION_REASONS) {
      this.#evictions.inc({ reason }, 0)
      this.#evictedBytes.inc({ reason }, 0)
    }
    for (const operation of STORE_OPERATIONS) this.#errors.inc({ operation }, 0)
    for (const reason of NOT_STORED) this.#notStored.inc({ reason }, 0)
    for (const result of RUN_RESULTS) this.#gcRuns.inc({ result }, 0)
    this.#gcSuccess.set(Number.NaN)
  }

  integrity(result: (typeof CHECK_RESULTS)[number]): void {
    this.#integrity.inc({ result })
  }

  evicted(reason: (typeof EVICTION_REASONS)[number], contents: number, bytes: number): void {
    this.#evictions.inc({ reason }, contents)
    this.#evictedBytes.inc({ reason }, bytes)
  }

  error(operation: string): void {
    this.#errors.inc({ operation })
  }

  notStored(reason: (typeof NOT_STORED)[number]): void {
    this.#notStored.inc({ reason })
  }

  /** The store was put in order, or that was begun and could not be ended. */
  collected(isWhole: boolean, seconds: number): void {
    this.#gcRuns.inc({ result: isWhole ? 'ok' : 'error' })
    this.#gcSeconds.observe(seconds)
    if (isWhole) this.#gcSuccess.set(Date.now() / 1000)
  }

  queried(op: QueryKind, seconds: number): void {
    this.#querySeconds.observe({ op }, seconds)
  }

  read(now: StoreReadings): void {
    for (const [name, gauge] of Object.entries(this.#gauges)) {
      gauge.set(now[name as keyof StoreReadings] ?? 0)
    }
    // Of an empty cache it is no time at all: 0 would say that it reaches back to 1970.
    this.#oldestAccess.set((now.oldestAccessAt ?? Number.NaN) / 1000)
  }

  readPins({ pinnedBytes, complete, incomplete }: PinReadings): void {
    this.#pinnedBytes.set(pinnedBytes)
    this.#pins.set({ state: 'complete' }, complete)
    this.#pins.set({ state: 'incomplete' }, incomplete)
  }

  readHealth({ isWritable, troubles }: HealthReadings): void {
    this.#writable.set(isWritable ? 1 : 0)
    for (const reason of TROUBLES) {
      this.#trouble.set({ reason }, troubles.includes(reason) ? 1 : 0)
    }
  }
}
