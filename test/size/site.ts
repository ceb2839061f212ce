import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

import { cpuSecondsOf, residentBytes } from '../load/process.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { send } from '../support/http-client.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { samplesOf, sumOf } from '../support/samples.ts'
import { UPSTREAM } from './data-directory.ts'
import { type Spread, spreadOf } from './spread.ts'

/** What the image gives Node, too. */
const FLAGS = ['--max-semi-space-size=4']

export const SOURCES = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
export const BUILT = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const PROBE = new URL('./probe.ts', import.meta.url).href

export interface SiteOptions {
  readonly dataDir: string
  /** Of the sources, or of what was built. */
  readonly main: string
  /** Whether `stretches` can be asked for: that takes a little memory. */
  readonly isProbed?: boolean
}

/** Larder on a data directory, in a process of its own, with a registry behind it. */
export class Site implements AsyncDisposable {
  readonly larder: RunningLarder
  readonly registry: FaultRegistry
  /** From the start of the process until it listens, milliseconds. */
  readonly readyMs: number
  /** One connection that stays. */
  readonly agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #probe: string

  private constructor(
    larder: RunningLarder,
    registry: FaultRegistry,
    ready: number,
    probe: string,
  ) {
    this.larder = larder
    this.registry = registry
    this.readyMs = ready
    this.#probe = probe
  }

  static async start({ dataDir, main, isProbed = false }: SiteOptions): Promise<Site> {
    const registry = await new FaultRegistry().start()
    const probe = join(dataDir, 'probe')
    try {
      const startedAt = performance.now()
      const larder = await startLarder({
        upstreams: [{ name: UPSTREAM, url: registry.origin, access: 'shared', default: true }],
        dataDir,
        log: { level: 'info', format: 'json' },
        program: [...FLAGS, ...(isProbed ? ['--import', PROBE] : []), main],
        ...(isProbed && { env: { SIZE_PROBE: probe } }),
      })
      return new Site(larder, registry, performance.now() - startedAt, probe)
    } catch (error) {
      await registry.close()
      throw error
    }
  }

  get residentBytes(): number {
    return residentBytes(this.larder.pid)
  }

  /** What the event loop was late by since it was last asked, milliseconds. */
  async delay(): Promise<Spread> {
    const { body } = await send(this.larder.adminUrl, '/metrics')
    const samples = samplesOf(body.toString())
    const of = (name: string) => sumOf(samples, `nodejs_eventloop_lag_${name}_seconds`) * 1000
    return { p50: of('p50'), p99: of('p99'), max: of('max') }
  }

  /** How long the event loop computed at a stretch since it was last asked, milliseconds of CPU. */
  async stretches(): Promise<Spread> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const asked = request({ socketPath: this.#probe, agent: false }, (response) => {
      text(response).then(resolve, reject)
    })
    asked.once('error', reject).end()
    return spreadOf(JSON.parse(await promise) as number[])
  }

  /** User and system time of the process so far, seconds. */
  get cpuSeconds(): number {
    return cpuSecondsOf(this.larder.pid)
  }

  /** Removes what nobody has used for so long; @returns how many manifests and blobs went */
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
