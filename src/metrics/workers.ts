import type { Instruments } from './instruments.ts'

/** Of all workers together: how many there are is no label. */
export interface WorkerReadings {
  readonly running: number
  /** Since the start, of those that have ended too. */
  readonly cpuSeconds: number
  readonly memoryBytes: number
  /** The longest that one of them kept anything waiting in the last second. */
  readonly delaySeconds: number
}

/** The processes that speak with clients, where there are any besides the one that decides. */
export class WorkerMetrics {
  readonly #running
  readonly #restarts
  readonly #cpuSeconds
  readonly #memoryBytes
  readonly #delaySeconds
  #read: (() => WorkerReadings) | undefined
  #knownSeconds = 0

  constructor(instruments: Instruments) {
    this.#running = instruments.gauge(
      'workers_running',
      'Workers that take connections; 0 where the main process alone has them',
    )
    this.#restarts = instruments.counter(
      'worker_restarts_total',
      'Workers that ended by themselves, and were replaced',
    )
    this.#cpuSeconds = instruments.counter(
      'workers_cpu_seconds_total',
      'CPU time of all workers, besides that of the main process (process_cpu_seconds_total)',
    )
    this.#memoryBytes = instruments.gauge(
      'workers_resident_memory_bytes',
      'Memory of all workers, besides that of the main process (process_resident_memory_bytes)',
    )
    this.#delaySeconds = instruments.gauge(
      'workers_eventloop_lag_max_seconds',
      'The longest that a worker kept anything waiting in the last second',
    )
  }

  /** There are workers. */
  follow(read: () => WorkerReadings): void {
    this.#read = read
  }

  restarted(): void {
    this.#restarts.inc()
  }

  refresh(): void {
    if (this.#read === undefined) return
    const { running, cpuSeconds, memoryBytes, delaySeconds } = this.#read()
    this.#running.set(running)
    this.#cpuSeconds.inc(Math.max(0, cpuSeconds - this.#knownSeconds))
    this.#knownSeconds = Math.max(cpuSeconds, this.#knownSeconds)
    this.#memoryBytes.set(memoryBytes)
    this.#delaySeconds.set(delaySeconds)
  }
}
