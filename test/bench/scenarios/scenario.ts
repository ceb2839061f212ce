import type { Image, Pusher } from '../content.ts'
import type { Load, LoadClient, LoadReport } from '../load.ts'
import type { Server } from '../proc.ts'
import type { Figure, Sample } from '../sample.ts'

/** What a server is in a run: one of the caches, or one of the ways in which Larder runs. */
export type Role = 'larder' | 'distribution' | 'nginx' | Setup

/** How many processes, on how many cores; `npm run bench:workers` compares them. */
export type Setup = 'one process, one core' | 'one process, all cores' | 'workers, all cores'

/** What a scenario works with. */
export interface Bench {
  readonly client: LoadClient
  readonly pusher: Pusher
  readonly upstream: Server
  readonly servers: ReadonlyMap<Role, Server>
  /** The same over TLS. */
  readonly secure: ReadonlyMap<Role, Server>
  /** Removed when all is over. */
  readonly folder: string
  readonly blobBytes: number
  /** How long a scenario that is measured by time runs. */
  readonly seconds: number
  /** What a scenario that is measured by bytes moves in all. */
  readonly warmBytes: number
}

/** Larder's median, divided by that of `versus` where there is one; without a bound only shown. */
export interface Comparison {
  readonly figure: Figure
  readonly versus?: Role
  readonly atMost?: number
  readonly atLeast?: number
}

/** Told of each step, as it is done. */
export type Progress = (text: string) => void

export type Scenario = LoadScenario | StartScenario

interface Common {
  readonly name: string
  readonly title: string
  readonly comparisons: readonly Comparison[]
}

/** Something that is asked of servers that run. */
export interface LoadScenario extends Common {
  readonly measures: 'blobs' | 'requests'
  readonly roles: readonly Role[]
  /** Whether each round needs content that no server has seen. */
  readonly cold: boolean
  /** Served over TLS. */
  readonly isSecure?: boolean
  push(bench: Bench): Promise<readonly Image[]>
  /** What is asked of a server before it is measured. */
  prime(bench: Bench, role: Role, server: Server, images: readonly Image[]): Promise<void>
  load(bench: Bench, role: Role, images: readonly Image[]): Omit<Load, 'port'>
  /** Another client than that of `load.c`. */
  run?(load: Load): Promise<LoadReport>
  /** Who else is there while it is measured, until disposed of. */
  crowd?(server: Server, images: readonly Image[]): Promise<AsyncDisposable>
}

/** A start, of a process of its own. */
export interface StartScenario extends Common {
  readonly measures: 'starts'
  readonly roles: readonly [Role]
  /** Once for all rounds; @returns what a round does */
  prepare(bench: Bench, progress: Progress): Promise<() => Promise<Sample>>
}

/** Everywhere, whatever else is measured. */
export const LOOP: Comparison = { figure: 'loopP99Ms', atMost: 50 }
