import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import type { AuthFailure } from './access/caller.ts'
import { FrontDoor } from './access/front-door.ts'
import { Gate } from './access/gate.ts'
import { Htpasswd } from './access/htpasswd.ts'
import { createAdmin } from './admin/server.ts'
import { Passthrough, type WriteRoute } from './api/passthrough.ts'
import { Probes } from './api/probes.ts'
import { createApi } from './api/server.ts'
import type { Config, Space } from './config/config.ts'
import { Listener } from './listener.ts'
import type { Logger } from './log.ts'
import { Metrics, type StoreReadings } from './metrics.ts'
import { ContentMismatchError } from './oci/errors.ts'
import { Blobs } from './pull/blobs.ts'
import { Epochs } from './pull/epochs.ts'
import type { Shelves } from './pull/flights.ts'
import { Lists } from './pull/lists.ts'
import { Manifests } from './pull/manifests.ts'
import { Negatives } from './pull/negatives.ts'
import { Shelf } from './pull/shelf.ts'
import { FileBlobs } from './store/blobs.ts'
import type { SqliteCatalog } from './store/catalog.ts'
import { ChunkCache } from './store/chunks.ts'
import { StoredContent } from './store/content.ts'
import { acquireLock, type Lock } from './store/lock.ts'
import type { Place } from './store/ports.ts'
import { openCatalog } from './store/rebuild.ts'
import { UsageRecorder } from './store/usage.ts'
import type { Clock } from './upstream/clock.ts'
import type { ProgramSettings } from './upstream/credentials/sources.ts'
import { createRegistry } from './upstream/factory.ts'
import { OfflineRegistry } from './upstream/offline.ts'
import type { ProxyEnvironment } from './upstream/proxy-rules.ts'
import { type Target, Upstreams } from './upstream/routing.ts'

const USAGE_FLUSH_MS = 5_000
const SYSTEM_CLOCK: Clock = { now: () => Date.now(), elapsed: () => performance.now() }

export interface AppOptions {
  readonly config: Config
  readonly logger: Logger
  readonly version: string
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
}

export interface App {
  /** Where the two listeners are. */
  readonly registryUrl: string
  readonly adminUrl: string
  /** Not ready at once, pulls under way finish within `drainTimeout`, then everything is closed. */
  close(): Promise<void>
  /** Ends waiting for pulls under way. */
  hurry(): void
}

/**
 * Builds everything and listens. The only place that constructs.
 *
 * @throws {DataDirectoryInUseError | DataDirectoryError | NewerSchemaError | NodeJS.ErrnoException}
 */
export async function startApp(options: AppOptions): Promise<App> {
  const { config } = options
  const lock = acquireLock(config.storage.path)
  try {
    return await start(options, lock)
  } catch (error) {
    lock.release()
    throw error
  }
}

async function start(options: AppOptions, lock: Lock): Promise<App> {
  const { config, logger, version } = options
  const names = config.upstreams.map(({ name }) => name)
  const { clock = SYSTEM_CLOCK } = options
  const now = () => clock.now()
  const monotonic = () => clock.elapsed()
  const metrics = new Metrics(version, names, monotonic)
  const store = await openStore(config, logger, metrics)
  const upstreams = connect(options, metrics)
  const { manifests, blobs, lists, epochs } = createPull(
    store,
    metrics,
    logger,
    now,
    options.patienceMs,
  )
  const { catalog } = store
  const onFailure = (kind: AuthFailure) => metrics.authFailure(kind)
  const gate = new Gate({ catalog, monotonic, now, onFailure })
  const onChanged = async (target: Target, route: WriteRoute) => {
    const place = placeOf(target)
    epochs.begin(place)
    if (route.kind === 'manifest') {
      await lists.forget(place)
      await manifests.forget(place, route.reference)
    }
    if (route.kind === 'blob') await blobs.forget(place, route.digest)
  }
  const onChanging = (target: Target) => epochs.begin(placeOf(target))
  const passthrough = new Passthrough({ upstreams: upstreams.routes, onChanging, onChanged })
  let draining = false
  const probes = new Probes([
    { name: 'shutdown', problem: () => (draining ? 'shutting down' : undefined) },
    { name: 'database', problem: () => (catalog.isOpen ? undefined : 'closed') },
  ])
  metrics.readFrom({
    store: () => readStore(config, catalog),
    flights: () => blobs.flights(),
  })
  const htpasswd = await openHtpasswd(config, logger, monotonic)
  const frontDoor = new FrontDoor({ config: config.auth, htpasswd, monotonic, onFailure })
  const handler = createApi({
    upstreams: upstreams.routes,
    frontDoor,
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
  const { server } = config
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

  const closeStore = async () => {
    await blobs.stop()
    passthrough.close()
    await upstreams.close()
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
    async close() {
      draining = true
      await registry.close(server.drainTimeoutMs)
      await admin.close(0)
      await closeStore()
    },
    hurry: () => registry.destroy(),
  }
}

interface Store {
  readonly blobs: FileBlobs
  readonly shelves: Shelves
  readonly catalog: SqliteCatalog
  readonly usage: UsageRecorder
  readonly storeFailed: (operation: string, error: unknown) => void
  close(): Promise<void>
}

async function openStore(config: Config, logger: Logger, metrics: Metrics): Promise<Store> {
  const { path } = config.storage
  const blobs = await FileBlobs.open({ path })
  const { catalog, rebuilt } = openCatalog({ path, blobs, logger })
  const chunks = new ChunkCache({ maxBytes: config.memory.chunkCacheBytes })
  const storeFailed = (operation: string, error: unknown) => {
    if (error instanceof ContentMismatchError) {
      const { what, expected, actual } = error
      metrics.integrity(what)
      logger.warn({ operation, expected, actual }, 'damaged on disk: put aside, fetched again')
      return
    }
    metrics.storeError(operation)
    logger.warn({ operation, reason: reasonOf(error) }, 'the store refused: passing through')
  }
  const usage = new UsageRecorder({
    catalog,
    flushIntervalMs: USAGE_FLUSH_MS,
    onError: (error) => storeFailed('usage', error),
  })
  const shelves: Shelves = {
    async open(digest) {
      const size = await blobs.stat(digest)
      if (size === undefined) return undefined
      return new StoredContent({ digest, size, blobs, cache: chunks })
    },
    remember(digest, size, kept) {
      if (size > chunks.maxBytes) return
      for (const [index, chunk] of kept) {
        chunks.put(digest, index, chunk.subarray(0, size - index * chunk.length))
      }
    },
  }
  const close = async () => {
    await usage.close()
    await catalog.close()
    await rebuilt
  }
  return { blobs, shelves, catalog, usage, storeFailed, close }
}

function connect(options: AppOptions, metrics: Metrics) {
  const { config, logger, version, proxyEnvironment, programs, clock = SYSTEM_CLOCK } = options
  const dependencies = {
    logger,
    observe: metrics,
    clock,
    random: Math.random,
    sleep: async (delayMs: number, signal?: AbortSignal) => {
      await sleep(delayMs, undefined, signal === undefined ? {} : { signal })
    },
    proxyEnvironment,
    ...(programs === undefined ? {} : { programs }),
    version,
  }
  const clients = config.offline
    ? []
    : config.upstreams.map((upstream) => createRegistry(upstream, dependencies))
  const routes = new Upstreams(
    config.upstreams.map((upstream, index) => ({
      config: upstream,
      registry: clients[index] ?? new OfflineRegistry(upstream.name),
    })),
  )
  const close = async () => {
    await Promise.all(clients.map((client) => client.close()))
  }
  return { routes, close }
}

function createPull(
  store: Store,
  metrics: Metrics,
  logger: Logger,
  now: () => number,
  patienceMs: number | undefined,
) {
  const { blobs: files, shelves, catalog, usage, storeFailed } = store
  const negatives = new Negatives()
  const epochs = new Epochs()
  const shelf = new Shelf({ blobs: files, catalog, epochs, onStoreFailed: storeFailed, now })
  const manifests = new Manifests({
    shelf,
    negatives,
    epochs,
    onFetched: (upstream, bytes) => metrics.fetched(upstream, 'manifest', 'pull', bytes),
    onUsed: (digest) => usage.used(digest),
    now,
  })
  const blobs = new Blobs({
    blobs: files,
    shelves,
    catalog,
    negatives,
    epochs,
    logger,
    events: {
      used: (digest) => usage.used(digest),
      fetched: (upstream, bytes) => metrics.fetched(upstream, 'blob', 'pull', bytes),
      resumed: (upstream) => metrics.resume(upstream),
      mismatched: (upstream, what) => {
        metrics.error({ upstream, reason: `${what}_mismatch` })
      },
      storeFailed,
    },
    now,
    patienceMs,
  })
  const lists = new Lists({ catalog, negatives, epochs, onStoreFailed: storeFailed, now })
  return { manifests, blobs, lists, epochs }
}

function placeOf({ upstream, repository }: Target): Place {
  return { upstream: upstream.config.name, repository }
}

async function openHtpasswd(
  { auth }: Config,
  logger: Logger,
  monotonic: () => number,
): Promise<Htpasswd | undefined> {
  const file = auth?.htpasswdFile
  if (file === undefined) return undefined
  const onError = (error: unknown) => {
    logger.error({ reason: reasonOf(error) }, 'the changed password file cannot be used')
  }
  return Htpasswd.open({ file, monotonic, onError })
}

async function readStore({ storage }: Config, catalog: SqliteCatalog): Promise<StoreReadings> {
  const totals = await catalog.totals()
  const { bsize, blocks, bavail } = await statfs(storage.path)
  const filesystemBytes = bsize * blocks
  return {
    bytes: totals.blobBytes,
    blobs: totals.blobs,
    manifests: totals.manifests,
    tags: totals.tags,
    quotaBytes: bytesOf(storage.maxSize, filesystemBytes),
    filesystemBytes,
    availableBytes: bsize * bavail,
  }
}

function bytesOf(space: Space, whole: number): number {
  return 'bytes' in space ? space.bytes : Math.floor((whole * space.percent) / 100)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
