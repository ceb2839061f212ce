import { Agent } from 'node:http'
import { fileURLToPath } from 'node:url'

import { residentBytes } from '../load/process.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { send } from '../support/http-client.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { type Sample, samplesOf, sumOf } from '../support/samples.ts'
import { UPSTREAM } from './data-directory.ts'

/** What `npm start` gives Node, too. */
const FLAGS = ['--max-semi-space-size=4']
const SOURCES = '../../src/main.ts'

export const BUILT = '../../dist/main.js'

/** What the event loop of the process was late by, milliseconds. */
export interface Delay {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** Larder on a data directory, in a process of its own, with a registry behind it. */
export class Site implements AsyncDisposable {
  readonly larder: RunningLarder
  readonly registry: FaultRegistry
  /** From the start of the process until it listens, milliseconds. */
  readonly readyMs: number
  /** One connection that stays. */
  readonly agent = new Agent({ keepAlive: true, maxSockets: 1 })

  private constructor(larder: RunningLarder, registry: FaultRegistry, readyMs: number) {
    this.larder = larder
    this.registry = registry
    this.readyMs = readyMs
  }

  /** @param main of the sources or of what was built, relative to this file */
  static async start(dataDir: string, main: string = SOURCES): Promise<Site> {
    const registry = await new FaultRegistry().start()
    try {
      const startedAt = performance.now()
      const larder = await startLarder({
        upstreams: [{ name: UPSTREAM, url: registry.origin, access: 'shared', default: true }],
        dataDir,
        log: { level: 'info', format: 'json' },
        program: [...FLAGS, fileURLToPath(new URL(main, import.meta.url))],
      })
      return new Site(larder, registry, performance.now() - startedAt)
    } catch (error) {
      await registry.close()
      throw error
    }
  }

  get residentBytes(): number {
    return residentBytes(this.larder.pid)
  }

  async samples(): Promise<readonly Sample[]> {
    const { body } = await send(this.larder.adminUrl, '/metrics')
    return samplesOf(body.toString())
  }

  /** Since the last scrape. */
  async delay(): Promise<Delay> {
    const samples = await this.samples()
    const of = (name: string) => sumOf(samples, `nodejs_eventloop_lag_${name}_seconds`) * 1000
    return { p50: of('p50'), p99: of('p99'), max: of('max') }
  }

  /** User and system time of the process so far, seconds. */
  async cpuSeconds(): Promise<number> {
    return sumOf(await this.samples(), 'process_cpu_seconds_total')
  }

  /** Removes what nobody has used for so long; @returns manifests and blobs that went */
  async evict(unusedFor: string): Promise<number> {
    const { status, body } = await send(this.larder.adminUrl, '/api/v1/purge', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ unusedFor }),
    })
    if (status !== 200) throw new Error(`${status}: ${body}`)
    const { manifests, blobs } = JSON.parse(body.toString()) as Record<string, number>
    return (manifests ?? 0) + (blobs ?? 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent.destroy()
    await this.larder.close()
    await this.registry.close()
  }
}
