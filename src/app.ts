import { isDeepStrictEqual } from 'node:util'

import { Gate } from './access/gate.ts'
import { createAdminApi } from './admin/api.ts'
import { Authority } from './admin/authority.ts'
import { createAdmin } from './admin/server.ts'
import { Passthrough } from './api/passthrough.ts'
import { Probes } from './api/probes.ts'
import { createApi, type Entry } from './api/server.ts'
import { createAdminPorts } from './app/admin-ports.ts'
import { watchConnections } from './app/connections.ts'
import { openFrontDoor } from './app/front-door.ts'
import type { AppOptions } from './app/options.ts'
import { createPull, type PullRoom } from './app/pull.ts'
import { reasonOf } from './app/reason.ts'
import { createRefetch } from './app/refetch.ts'
import { followConfig, type Reloading } from './app/reload.ts'
import { openStore } from './app/store.ts'
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
  const monotonic = () => clock.elapsed()
  const names = config.upstreams.map(({ name }) => name)
  const metrics = new Metrics(version, names, monotonic)
  let inUse = config
  let pull: PullRoom | undefined
  const store = await openStore({
    config: () => inUse,
    logger,
    metrics,
    clock,
    onRemoved: (digests) => pull?.removed(digests),
    failAt: options.failAt,
  })
  const fleet = createFleet(options, clock, metrics)
  const doorOf = (wanted: Config) => openFrontDoor(wanted, logger, metrics, monotonic)
  const first = fleet.prepare(config)
  first.commit()
  let entry: Entry = { upstreams: first.routes, frontDoor: await doorOf(config) }
  const { patienceMs } = options
  const room = createPull({ store, metrics, logger, patienceMs })
  pull = room
  const { manifests, blobs, lists } = room
  const { catalog } = store
  const gate = new Gate({
    catalog,
    monotonic,
    now: () => store.clock.now(),
    onFailure: (kind) => metrics.authFailure(kind),
  })
  const passthrough = new Passthrough({
    upstreams: () => entry.upstreams,
    onChanging: room.changing,
    onChanged: room.changed,
  })
  let draining = false
  const probes = new Probes([
    { name: 'shutdown', problem: () => (draining ? 'shutting down' : undefined) },
    { name: 'database', problem: () => (catalog.isOpen ? undefined : 'closed') },
  ])
  metrics.readFrom({
    store: () => store.read(),
    flights: () => blobs.flights(),
    pins: () => store.pins.readings(),
  })
  const handler = createApi({
    entry: () => entry,
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
    onConnections: watchConnections(metrics, logger),
  })
  const apply = async ({ config: wanted }: LoadedConfig) => {
    const prepared = fleet.prepare(wanted)
    const isSameDoor = isDeepStrictEqual(wanted.auth, inUse.auth)
    let { frontDoor } = entry
    try {
      if (!isSameDoor) frontDoor = await doorOf(wanted)
      if (draining) throw new Error('the server is stopping')
    } catch (error) {
      await prepared.abandon()
      throw error
    }
    // Nothing fails from here on, and nothing comes in between.
    prepared.commit()
    inUse = wanted
    entry = { upstreams: prepared.routes, frontDoor }
    gate.forget()
    room.reconfigured(prepared.changed)
    passthrough.retain(new Set(prepared.routes.all.map((upstream) => upstream.config)))
    // What goes on as it was keeps its gauges.
    metrics.initialize(prepared.changed.filter((name) => prepared.routes.names.includes(name)))
    logger.setLevel(wanted.log.level)
    // The cap may be lower than before.
    void store.kept.admission.relieve()
    void tellOfToken()
  }
  const { source } = options
  const current = () => inUse
  const reloading: Reloading = followConfig({ source, current, apply, logger, metrics })

  const authority = new Authority({
    tokenFile: () => inUse.admin.tokenFile,
    listenHost: server.adminListen.host,
    monotonic,
  })
  const tellOfToken = async () => {
    const problem = await authority.problem().catch(reasonOf)
    if (problem !== undefined) logger.error({ problem }, 'the admin API takes no token')
  }
  const upstreams = () => entry.upstreams
  const ports = createAdminPorts({ store, upstreams, reloading })
  const api = createAdminApi({ ports, authority, logger, monotonic })
  const admin = new Listener({
    address: server.adminListen,
    tls: undefined,
    handler: createAdmin({ probes, metrics, api }),
    onTlsError,
  })
  store.integrity.begin({
    isBusy: () => metrics.isBusy,
    refetch: createRefetch(() => entry.upstreams, room),
  })

  const closeStore = async () => {
    reloading.close()
    await room.stop()
    passthrough.close()
    await fleet.close()
    await store.close()
    lock.release()
  }
  try {
    await registry.listen()
    await admin.listen()
    await tellOfToken()
  } catch (error) {
    await registry.close(0)
    await closeStore()
    throw error
  }
  return {
    registryUrl: registry.url,
    adminUrl: admin.url,
    reload: () => reloading.reload(),
    async close() {
      draining = true
      reloading.close()
      await registry.close(inUse.server.drainTimeoutMs)
      await admin.close(0)
      await closeStore()
    },
    hurry: () => registry.destroy(),
  }
}
