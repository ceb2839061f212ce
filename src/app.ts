import type { RequestListener } from 'node:http'

import { Authority } from './admin/authority.ts'
import { Origins } from './api/origins.ts'
import { Probes } from './api/probes.ts'
import { createAdminHandler } from './app/admin.ts'
import { createAirgap } from './app/airgap.ts'
import { warnOfFewDescriptors } from './app/connections.ts'
import { openFrontDoor } from './app/front-door.ts'
import { warningOf } from './app/health.ts'
import type { AppOptions } from './app/options.ts'
import { reasonOf } from './app/reason.ts'
import { createRegistryApi } from './app/registry-api.ts'
import { RegistryPort } from './app/registry-port.ts'
import { followConfig } from './app/reload.ts'
import { createRuns } from './app/runs.ts'
import { createSchedule } from './app/schedule.ts'
import { openSite, type Site } from './app/site.ts'
import { createTakeover } from './app/takeover.ts'
import { createTraffic } from './app/traffic.ts'
import type { Config } from './config/config.ts'
import type { ReloadResult } from './config/reload.ts'
import { Listener } from './listener.ts'

export interface App {
  /** Where the two listeners are. */
  readonly registryUrl: string
  readonly adminUrl: string
  /** Reads the configuration anew: all of it is in use, or that of before. Never rejects. */
  reload(): Promise<ReloadResult>
  /** Not ready at once, pulls under way finish within `drainTimeout`, then everything is closed. */
  close(): Promise<void>
  /** Ends waiting for pulls under way. */
  hurry(): void
}

/**
 * Builds everything and listens. With `app/` the only room that constructs.
 *
 * @throws {DataDirectoryInUseError | DataDirectoryError | NewerSchemaError | NodeJS.ErrnoException}
 */
export async function startApp(options: AppOptions): Promise<App> {
  const site = await openSite(options)
  try {
    return await serve(site, options)
  } catch (error) {
    await site.close()
    throw error
  }
}

async function serve(site: Site, options: AppOptions): Promise<App> {
  const { logger, source } = options
  const { metrics, store, config: current } = site
  let draining = false
  const probes = new Probes([
    { name: 'shutdown', problem: () => (draining ? 'shutting down' : undefined) },
    { name: 'database', problem: () => (store.catalog.isOpen ? undefined : 'closed') },
    // A disk that refuses makes nobody wait: pulls pass through, so it is no reason to be avoided.
    { name: 'upstreams', problem: () => undefined, warning: () => warningOfBlocks(site) },
    { name: 'storage', problem: () => undefined, warning: () => warningOf(store.health.ailments) },
    ...(current().server.workers > 1
      ? [{ name: 'workers', problem: () => undefined, warning: () => registry.warning }]
      : []),
  ])
  const openDoor = (wanted: Config) => openFrontDoor(wanted, logger, metrics, site.monotonic)
  const frontDoor = await openDoor(current())
  const traffic = createTraffic(store)
  const { onEnded } = traffic
  const origins = new Origins()
  const api = createRegistryApi({ site, origins, frontDoor, probes, logger, onEnded })
  const authority = authorityOf(site)
  const tellOfToken = async () => {
    const problem = await authority.problem().catch(reasonOf)
    if (problem !== undefined) logger.error({ problem }, 'the admin API takes no token')
  }
  const airgap = createAirgap({ site, logger, readSources: options.readSources })
  const runs = await createRuns({ site, airgap, logger })
  const schedule = createSchedule({ site, airgap, runs, logger })
  let written = options.origins ?? new Map()
  const apply = createTakeover({
    site,
    registry: api,
    openDoor,
    isStopping: () => draining,
    onTaken: (loaded) => {
      written = loaded.origins
      void tellOfToken()
      schedule.take(current().preload)
    },
  })
  const reloading = followConfig({ source, current, apply, logger, metrics })
  const handler = createAdminHandler({
    site,
    reloading,
    origins: () => written,
    airgap,
    runs,
    authority,
    traffic,
    probes,
    registryPort: () => Number(new URL(registry.url).port),
    logger,
  })
  const registry = new RegistryPort({ site, options, handler: api.handler, origins })
  const admin = createAdminListener(site, options, handler)
  warnOfFewDescriptors(logger)
  site.tend()
  try {
    await registry.listen()
    await admin.listen()
    await tellOfToken()
    schedule.take(current().preload)
  } catch (error) {
    reloading.close()
    await registry.close(0)
    api.close()
    throw error
  }
  return {
    registryUrl: registry.url,
    adminUrl: admin.url,
    reload: () => reloading.reload(),
    async close() {
      draining = true
      reloading.close()
      // The port is closed at once: whoever knows that it stops may rely on it.
      const drained = registry.close(current().server.drainTimeoutMs)
      await schedule.close()
      await runs.close()
      await drained
      await admin.close(0)
      api.close()
      await site.close()
    },
    hurry: () => registry.destroy(),
  }
}

function authorityOf({ config, monotonic }: Site): Authority {
  return new Authority({
    tokenFile: () => config().admin.tokenFile,
    listenHost: config().server.adminListen.host,
    monotonic,
  })
}

function warningOfBlocks({ blocks, upstreams }: Site): string | undefined {
  const blocked = upstreams().names.filter((name) => blocks.get(name) !== undefined)
  if (blocked.length === 0) return undefined
  return `blocked by an operator, and not asked: ${blocked.join(', ')}`
}

function createAdminListener(
  { config }: Site,
  { logger }: AppOptions,
  handler: RequestListener,
): Listener {
  return new Listener({
    address: config().server.adminListen,
    tls: undefined,
    handler,
    onTlsError: (error) => logger.error({ reason: reasonOf(error) }, 'TLS of the admin listener'),
  })
}
