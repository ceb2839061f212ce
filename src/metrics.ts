import { exposeAsDistribution } from './metrics/distribution.ts'
import { HttpMetrics } from './metrics/http.ts'
import { type Build, InstanceMetrics } from './metrics/instance.ts'
import { Instruments } from './metrics/instruments.ts'
import { PreloadMetrics } from './metrics/preload.ts'
import { PullMetrics } from './metrics/pulls.ts'
import {
  type HealthReadings,
  type PinReadings,
  StoreMetrics,
  type StoreReadings,
} from './metrics/store.ts'
import { UpstreamMetrics } from './metrics/upstreams.ts'
import { WorkerMetrics } from './metrics/workers.ts'

/** What is read at the moment of a scrape, because nobody keeps count of it. */
export interface Readings {
  store(): Promise<StoreReadings>
  /** Downloads under way, by upstream. */
  flights(): ReadonlyMap<string, number>
  /** Absent: nothing can be pinned. */
  pins?(): Promise<PinReadings>
  /** The names of upstreams that an operator has forbidden to ask; absent: none. */
  blocked?(): readonly string[]
  /** Absent: nobody watches the disk. */
  health?(): HealthReadings
}

/**
 * Every metric of Larder, on a registry of its own. Labels are configured names and fixed words:
 * never a repository, tag, digest, user or address, whose number has no bound.
 */
export class Metrics {
  readonly #instruments = new Instruments()
  readonly pulls = new PullMetrics(this.#instruments)
  readonly http = new HttpMetrics(this.#instruments)
  readonly store = new StoreMetrics(this.#instruments)
  readonly preload = new PreloadMetrics(this.#instruments)
  readonly workers = new WorkerMetrics(this.#instruments)
  readonly upstreams: UpstreamMetrics
  readonly instance: InstanceMetrics
  #readings: Readings | undefined

  /** @param monotonic milliseconds of a clock that never jumps */
  constructor(
    build: Build,
    upstreams: readonly string[],
    monotonic: () => number = () => performance.now(),
  ) {
    this.upstreams = new UpstreamMetrics(this.#instruments, monotonic)
    this.instance = new InstanceMetrics(this.#instruments, build)
    exposeAsDistribution(this.#instruments.registry, this.pulls)
    this.initialize(upstreams)
  }

  /** Series start at 0, so that `rate()` sees the first event. */
  initialize(upstreams: readonly string[]): void {
    for (const upstream of upstreams) {
      this.pulls.initialize(upstream)
      this.upstreams.initialize(upstream)
    }
  }

  /** Gauges whose value is read when Prometheus asks. */
  readFrom(readings: Readings): void {
    this.#readings = readings
  }

  get contentType(): string {
    return this.#instruments.registry.contentType
  }

  async render(): Promise<string> {
    this.upstreams.forgetRateLimits()
    this.instance.readCertificates()
    this.preload.readJobs()
    this.workers.refresh()
    if (this.#readings !== undefined) await this.#read(this.#readings)
    return this.#instruments.registry.metrics()
  }

  async #read({ flights, pins, health, store, blocked }: Readings): Promise<void> {
    this.pulls.readFlights(flights())
    this.upstreams.readBlocked(blocked?.() ?? [])
    if (pins !== undefined) this.store.readPins(await pins())
    if (health !== undefined) this.store.readHealth(health())
    this.store.read(await store())
  }
}
