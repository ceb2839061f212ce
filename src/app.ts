import { isDeepStrictEqual } from 'node:util'

import { Gate } from './access/gate.ts'
import { createAdmin } from './admin/server.ts'
import { Passthrough } from './api/passthrough.ts'
import { Probes } from './api/probes.ts'
import { createApi, type Entry } from './api/server.ts'
import { openFrontDoor } from './app/front-door.ts'
import type { AppOptions } from './app/options.ts'
import { createPull } from './app/pull.ts'
import { reasonOf } from './app/reason.ts'
import { followConfig, type Reloading, refused } from './app/reload.ts'
import { openStore, readStore } from './app/store.ts'
import { createFleet } from './app/upstreams.ts'
import type { Config } from './config/config.ts'
import type { LoadedConfig } from './config/load.ts'
import type { ReloadResult } from './config/reload.ts'
import { Listener } from './listener.ts'
import { Metrics } from './metrics.ts'
import { acquireLock, type Lock } from './store/lock.ts'
import type { Clock } from './upstream/clock.ts'

const SYSTEM_CLOCK: Clock = { now: () => Date.now(), elapsed: () => performance.now() }

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

/** What a reload exchanges. */
interface Live extends Entry {
  readonly config: Config
}

/**
 * Builds everything and listens. With `app/` the only room that constructs.
 *
 * @throws {DataDirectoryInUseError | DataDirectoryError | NewerSchemaError | NodeJS.ErrnoException}
 */
export async function startApp(options: AppOptions): Promise<App> {
  const lock = acquireLock(options.config.storage.path)
  try {
    return await start(options, lock)
  } catch (error) {
    lock.release()
    throw error
  }
}

async function start(options: AppOptions, lock: Lock): Promise<App> {
  const { logger, version, clock = SYSTEM_CLOCK } = options
  const { config } = options
  const { server } = config
  const now = () => clock.now()
  const monotonic = () => clock.elapsed()
  const names = config.upstreams.map(({ name }) => name)
  const metrics = new Metrics(version, names, monotonic)
  const store = await openStore(config, logger, metrics)
  const fleet = createFleet(options, clock, metrics)
  const doorOf = (wanted: Config) => openFrontDoor(wanted, logger, metrics, monotonic)
  const first = fleet.prepare(config)
  first.commit()
  let live: Live = { config, upstreams: first.routes, frontDoor: await doorOf(config) }
  const { patienceMs } = options
  const pull = createPull({ store, metrics, logger, now, patienceMs })
  const { manifests, blobs, lists } = pull
  const { catalog } = store
  const gate = new Gate({
    catalog,
    monotonic,
    now,
    onFailure: (kind) => metrics.authFailure(kind),
  })
  const passthrough = new Passthrough({
    upstreams: () => live.upstreams,
    onChanging: pull.changing,
    onChanged: pull.changed,
  })
  let draining = false
  const probes = new Probes([
    { name: 'shutdown', problem: () => (draining ? 'shutting down' : undefined) },
    { name: 'database', problem: () => (catalog.isOpen ? undefined : 'closed') },
  ])
  metrics.readFrom({
    store: () => readStore(live.config, catalog),
    flights: () => blobs.flights(),
  })
  const handler = createApi({
    entry: () => live,
    gate,
    manifests,
    blobs,
    lists,
    passthrough,
    probes,
    metrics,
    logger,
  })
  const onTlsError = (error: unknown) => {
    logger.error({ reason: reasonOf(error) }, 'changed certificates cannot be used')
  }
  const registry = new Listener({
    address: server.listen,
    tls: server.tls,
    handler,
    ...(options.tlsLookMs === undefined ? {} : { tlsLookMs: options.tlsLookMs }),
    onTlsError,
  })
  const admin = new Listener({
    address: server.adminListen,
    tls: undefined,
    handler: createAdmin({ probes, metrics }),
    onTlsError,
  })

  const apply = async ({ config: wanted }: LoadedConfig) => {
    const prepared = fleet.prepare(wanted)
    const isSameDoor = isDeepStrictEqual(wanted.auth, live.config.auth)
    let { frontDoor } = live
    try {
      if (!isSameDoor) frontDoor = await doorOf(wanted)
      if (draining) throw new Error('the server is stopping')
    } catch (error) {
      await prepared.abandon()
      throw error
    }
    // Nothing fails from here on, and nothing comes in between.
    prepared.commit()
    live = { config: wanted, upstreams: prepared.routes, frontDoor }
    gate.forget()
    pull.reconfigured(prepared.changed)
    passthrough.retain(new Set(prepared.routes.all.map((upstream) => upstream.config)))
    // What goes on as it was keeps its gauges.
    metrics.initialize(prepared.changed.filter((name) => prepared.routes.names.includes(name)))
    logger.setLevel(wanted.log.level)
  }
  const { source } = options
  const current = () => live.config
  const reloading: Reloading | undefined =
    source && followConfig({ source, current, apply, logger, metrics })

  const closeStore = async () => {
    reloading?.close()
    await blobs.stop()
    passthrough.close()
    await fleet.close()
    await store.close()
    lock.release()
  }
  try {
    await registry.listen()
    await admin.listen()
  } catch (error) {
    await registry.close(0)
    await closeStore()
    throw error
  }
  return {
    registryUrl: registry.url,
    adminUrl: admin.url,
    reload: async () =>
      reloading === undefined
        ? refused('there is nothing to read the configuration from')
        : reloading.reload(),
    async close() {
      draining = true
      reloading?.close()
      await registry.close(live.config.server.drainTimeoutMs)
      await admin.close(0)
      await closeStore()
    },
    hurry: () => registry.destroy(),
  }
}
