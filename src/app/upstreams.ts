import { setTimeout as sleep } from 'node:timers/promises'

import type { Metrics } from '../metrics.ts'
import type { Clock } from '../upstream/clock.ts'
import { Fleet } from '../upstream/fleet.ts'
import type { SiteOptions } from './site.ts'

/** What is elsewhere. */
export function createFleet(options: SiteOptions, clock: Clock, metrics: Metrics): Fleet {
  const { logger, version, proxyEnvironment, programs } = options
  return new Fleet({
    logger,
    observe: metrics.upstreams,
    clock,
    random: Math.random,
    sleep: async (delayMs: number, signal?: AbortSignal) => {
      await sleep(delayMs, undefined, signal === undefined ? {} : { signal })
    },
    proxyEnvironment,
    ...(programs === undefined ? {} : { programs }),
    version,
  })
}
