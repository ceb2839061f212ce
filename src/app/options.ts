import type { ReadSources } from '../airgap/jobs.ts'
import type { Config } from '../config/config.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Origin } from '../config/origins.ts'
import type { FileStamp } from '../config/stamp.ts'
import type { RootLogger } from '../log.ts'
import type { FailAt } from '../store/failpoints.ts'
import type { Clock } from '../upstream/clock.ts'
import type { ProgramSettings } from '../upstream/credentials/sources.ts'
import type { ProxyEnvironment } from '../upstream/proxy-rules.ts'

/** By the dotted path of a value. */
export type Origins = ReadonlyMap<string, Origin>

export interface AppOptions {
  readonly config: Config
  /** Where each value of it comes from; absent: that is not known. */
  readonly origins?: Origins
  /** Where a reload takes the configuration from. */
  readonly source: ConfigSource
  readonly logger: RootLogger
  readonly version: string
  /** The commit that it was built of; absent: not known. */
  readonly revision?: string | undefined
  readonly proxyEnvironment: ProxyEnvironment
  /** For plugins and helpers that give out credentials; absent: none is found in PATH. */
  readonly programs?: ProgramSettings
  /** Default: that of the system. */
  readonly clock?: Clock
  /** How often certificates are looked at, in milliseconds; default 10 s. */
  readonly tlsLookMs?: number
  /**
   * How long a broken download waits for a registry that says when it may be asked again, in
   * milliseconds; default 30 s.
   */
  readonly patienceMs?: number
  readonly workers?: WorkerOptions
  /** Reads what preload jobs name; absent: what they name are images. */
  readonly readSources?: ReadSources
  /** For tests of crashes: told of each step of the store; default: nothing happens there. */
  readonly failAt?: FailAt
}

export interface WorkerOptions {
  /** What they find in their environment; absent: nothing. */
  readonly environment?: Readonly<Record<string, string>>
  /** Blobs, and parts of them, that are smaller are not left to workers; in bytes, default 64 KiB. */
  readonly leastParcelBytes?: number
  /** How much longer a client may wait for the file of a download than for its bytes; milliseconds. */
  readonly patienceMs?: number
}

export interface ConfigSource {
  /** Reads it anew, from the file that it was read from at the start. */
  load(): Promise<LoadedConfig>
  /** Absolute; its changes are followed. `undefined`: there is no file. */
  readonly file: string | undefined
  /** Of the file as `config` was read from it. */
  readonly stamp: FileStamp | undefined
  /** How often it is looked at, in milliseconds; default 5 s. */
  readonly lookMs?: number
}
