import type { RequestListener } from 'node:http'

import { OWNER } from '../admin/authority.ts'
import { Probes } from '../api/probes.ts'
import { createAdminHandler } from './admin.ts'
import { createAirgap } from './airgap.ts'
import { type Reloading, refused } from './reload.ts'
import { createRuns } from './runs.ts'
import { openSite, type SiteOptions } from './site.ts'
import { createTraffic } from './traffic.ts'

/** The admin API of a data directory that no server has. */
export interface LocalAdmin {
  /** For this process alone: whoever reaches it may do everything. */
  readonly handler: RequestListener
  close(): Promise<void>
}

/**
 * Nothing makes room here: which cap holds is for the server that the directory belongs to, and one
 * that nobody meant would empty it.
 */
const UNCAPPED = { maxSize: { percent: 100 }, minFree: { percent: 0 } }

const NOT_RELOADING: Reloading = {
  reload: async () => refused('no server is running here that could read it again'),
  close() {},
}

/**
 * Opens the data directory for one command, which does what it is asked and nothing by itself.
 *
 * @returns once it is known what is there
 * @throws as {@link openSite}
 */
export async function openLocalAdmin(options: SiteOptions): Promise<LocalAdmin> {
  const { config, logger } = options
  const storage = { ...config.storage, ...UNCAPPED }
  const site = await openSite({ ...options, config: { ...config, storage } })
  await site.store.ready
  const airgap = createAirgap({ site, logger, readSources: options.readSources })
  const runs = await createRuns({ site, airgap, logger })
  const handler = createAdminHandler({
    site,
    reloading: NOT_RELOADING,
    origins: () => options.origins ?? new Map(),
    airgap,
    runs,
    authority: OWNER,
    traffic: createTraffic(site.store),
    probes: new Probes([]),
    registryPort: () => 0,
    logger,
  })
  return {
    handler,
    async close() {
      await runs.close()
      await site.close()
    },
  }
}
