import { Gate } from '../access/gate.ts'
import type { Config } from '../config/config.ts'
import type { History } from '../metrics/history.ts'
import { Metrics } from '../metrics.ts'
import { Restoration } from '../pull/restoration.ts'
import { Blocks } from '../store/blocks.ts'
import type { FailAt } from '../store/failpoints.ts'
import { acquireLock } from '../store/lock.ts'
import type { Clock } from '../upstream/clock.ts'
import type { RegistryDependencies } from '../upstream/factory.ts'
import { Fleet, type Prepared } from '../upstream/fleet.ts'
import { all } from '../upstream/observers.ts'
import { UpstreamRecords } from '../upstream/records.ts'
import type { Upstreams } from '../upstream/routing.ts'
import { createHistory } from './history.ts'
import { withNamed } from './named-files.ts'
import type { AppOptions } from './options.ts'
import { createPull, type PullRoom } from './pull.ts'
import { createRefetch } from './refetch.ts'
import { openStore, type Store } from './store.ts'
import { createDependencies } from './upstreams.ts'

const SYSTEM_CLOCK: Clock = { now: () => Date.now(), elapsed: () => performance.now() }

export type SiteOptions = Omit<AppOptions, 'source' | 'tlsLookMs'>

/** A data directory at work: what is here, what is elsewhere, and pulls between them. No port. */
export interface Site {
  /** Of Larder. */
  readonly version: string
  /** For tests of crashes. */
  readonly failAt: FailAt | undefined
  readonly metrics: Metrics
  readonly history: History
  readonly store: Store
  /** Which registries are not asked. */
  readonly blocks: Blocks
  readonly upstreamRecords: UpstreamRecords
  /** For a walk to a registry, which is nobody's pull. */
  readonly walking: Omit<RegistryDependencies, 'observe'>
  readonly pull: PullRoom
  readonly gate: Gate
  /** In effect: a reload changes it. */
  config(): Config
  /** In effect. */
  upstreams(): Upstreams
  /** Milliseconds of a clock that never jumps. */
  monotonic(): number
  /** Epoch milliseconds of the machine, which may jump: for what is due at a time of day. */
  wallClock(): number
  /**
   * Builds what another configuration needs; its `commit` takes that over in one step.
   *
   * @throws {Error} when something of it cannot be built; nothing has changed then
   */
  prepare(wanted: Config): Prepared
  /** Begins what is done without being asked: checks in the background, eviction by age and size. */
  tend(): void
  /** Gives up what is under way, and lets another process in. */
  close(): Promise<void>
}

/**
 * Opens the data directory, which is created if need be.
 *
 * @throws {DataDirectoryInUseError | DataDirectoryError | NewerSchemaError | NodeJS.ErrnoException}
 */
export async function openSite(options: SiteOptions): Promise<Site> {
  await using opened = new AsyncDisposableStack()
  const lock = acquireLock(options.config.storage.path)
  opened.defer(() => lock.release())
  const { logger, clock = SYSTEM_CLOCK, patienceMs, failAt } = options
  let { config } = options
  let room: PullRoom | undefined
  const monotonic = () => clock.elapsed()
  const names = config.upstreams.map(({ name }) => name)
  const metrics = new Metrics(options, names, monotonic)
  const store = await openStore({
    config: () => config,
    logger,
    metrics,
    clock,
    onRemoved: (digests) => room?.removed(digests),
    onPurged: (place, references) => room?.purged(place, references),
    failAt,
  })
  opened.defer(() => store.close())
  const history = createHistory(store, metrics)
  opened.defer(() => history.close())
  const blocks = await Blocks.open({ path: config.storage.path, logger })
  const upstreamRecords = new UpstreamRecords(() => store.clock.now())
  const walking = createDependencies(options, clock)
  const fleet = new Fleet({
    ...walking,
    observe: all([metrics.upstreams, upstreamRecords]),
    isBlocked: (upstream) => blocks.get(upstream) !== undefined,
  })
  opened.defer(() => fleet.close())
  const first = withNamed('upstreams', () => fleet.prepare(config))
  first.commit()
  let upstreams = first.routes
  const restoration = new Restoration(store.pins.settled)
  const pull = createPull({ store, restoration, metrics, logger, patienceMs })
  room = pull
  opened.defer(() => pull.stop())
  metrics.readFrom({
    store: () => store.read(),
    flights: () => pull.blobs.flights(),
    pins: () => store.pins.readings(),
    blocked: () => blocks.names,
    health: () => ({
      isWritable: store.health.isWritable,
      troubles: store.health.ailments.map(({ trouble }) => trouble),
    }),
  })
  store.integrity.fetchWith(createRefetch(() => upstreams, pull))
  const gate = new Gate({
    catalog: store.catalog,
    restoration,
    monotonic,
    now: () => store.clock.now(),
    onFailure: (kind) => metrics.http.authFailure(kind),
  })
  const commit = (wanted: Config, prepared: Prepared) => {
    prepared.commit()
    config = wanted
    upstreams = prepared.routes
    pull.reconfigured(prepared.changed)
    // What goes on as it was keeps its gauges.
    metrics.initialize(prepared.changed.filter((name) => prepared.routes.names.includes(name)))
    logger.setLevel(wanted.log.level)
    // The cap may be lower than before.
    void store.kept.admission.relieve()
  }
  const parts = opened.move()
  return {
    version: options.version,
    failAt,
    metrics,
    history,
    store,
    blocks,
    upstreamRecords,
    walking,
    pull,
    gate,
    config: () => config,
    upstreams: () => upstreams,
    monotonic,
    wallClock: () => clock.now(),
    prepare(wanted) {
      const prepared = withNamed('upstreams', () => fleet.prepare(wanted))
      return { ...prepared, commit: () => commit(wanted, prepared) }
    },
    tend() {
      store.kept.upkeep.start()
      history.start()
      store.integrity.begin({ isBusy: () => metrics.http.isBusy })
    },
    close: () => parts.disposeAsync(),
  }
}
