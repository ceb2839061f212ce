import type { ReloadResult } from '../../config/reload.ts'

/** The upstreams of the configuration in effect. */
export interface Names {
  /** The name of the upstream that a registry's host means; `undefined`: none. */
  find(registry: string): string | undefined
  all(): readonly string[]
}

export interface Reloading {
  /** All or nothing; what is wrong with the new configuration is an answer, not an exception. */
  reload(): Promise<ReloadResult>
}

export interface Configuration {
  read(): EffectiveConfiguration
}

export interface EffectiveConfiguration {
  /** As in a configuration file, secrets as `***`. */
  readonly config: object
  /** Where each value of it comes from, by its dotted path. */
  readonly origins: Readonly<Record<string, 'default' | 'file' | 'env'>>
}
