import { setTimeout as sleep } from 'node:timers/promises'

import type { Clock } from '../upstream/clock.ts'
import type { RegistryDependencies } from '../upstream/factory.ts'
import type { SiteOptions } from './site.ts'

/** What the clients of registries need of the machine. */
export function createDependencies(
  { logger, version, proxyEnvironment, programs }: SiteOptions,
  clock: Clock,
): Omit<RegistryDependencies, 'observe'> {
  return {
    logger,
    clock,
    random: Math.random,
    sleep: async (delayMs: number, signal?: AbortSignal) => {
      await sleep(delayMs, undefined, signal === undefined ? {} : { signal })
    },
    proxyEnvironment,
    ...(programs === undefined ? {} : { programs }),
    version,
  }
}
