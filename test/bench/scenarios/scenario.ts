import type { Image, Pusher } from '../content.ts'
import type { Load, LoadClient, LoadReport } from '../load.ts'
import type { Server } from '../proc.ts'
import type { Figure } from '../sample.ts'

export type Role = 'larder' | 'distribution' | 'nginx'

/** What a scenario works with. */
export interface Bench {
  readonly client: LoadClient
  readonly pusher: Pusher
  readonly upstream: Server
  readonly servers: ReadonlyMap<Role, Server>
  /** The same over TLS. */
  readonly secure: ReadonlyMap<Role, Server>
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

export interface Scenario {
  readonly name: string
  readonly title: string
  readonly moves: 'blobs' | 'requests'
  readonly roles: readonly Role[]
  /** Whether each round needs content that no server has seen. */
  readonly cold: boolean
  /** Served over TLS. */
  readonly isSecure?: boolean
  readonly comparisons: readonly Comparison[]
  push(bench: Bench): Promise<readonly Image[]>
  /** What is asked of a server before it is measured. */
  prime(bench: Bench, role: Role, server: Server, images: readonly Image[]): Promise<void>
  load(bench: Bench, role: Role, images: readonly Image[]): Omit<Load, 'port'>
  /** Another client than that of `load.c`. */
  run?(load: Load): Promise<LoadReport>
  /** Who else is there while it is measured, until disposed of. */
  crowd?(server: Server, images: readonly Image[]): Promise<AsyncDisposable>
}

/** Everywhere, whatever else is measured. */
export const LOOP: Comparison = { figure: 'loopP99Ms', atMost: 50 }
