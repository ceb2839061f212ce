import { Counter, Gauge, Histogram, Registry } from 'prom-client'

/** The registry of one process, and what is made on it: each with Larder's prefix. */
export class Instruments {
  readonly registry = new Registry()

  counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return new Counter({ name: `larder_${name}`, help, labelNames, registers: [this.registry] })
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return new Gauge({ name: `larder_${name}`, help, labelNames, registers: [this.registry] })
  }

  /** @param buckets upper bounds, in the unit that the name ends with */
  histogram(
    name: string,
    help: string,
    labelNames: readonly string[],
    buckets: readonly number[],
  ): Histogram {
    const registers = [this.registry]
    return new Histogram({
      name: `larder_${name}`,
      help,
      labelNames,
      buckets: [...buckets],
      registers,
    })
  }
}

/** Seconds, from what memory answers to what a slow registry takes. */
export const REQUEST_SECONDS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
] as const
