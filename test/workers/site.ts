import type { Digest } from '../../src/oci/digest.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { send } from '../support/http-client.ts'
import { seededBytes } from '../support/images.ts'
import { type LarderOptions, type RunningLarder, startLarder } from '../support/larder.ts'
import { type Sample, samplesOf, sumOf } from '../support/samples.ts'

const REPOSITORY = 'library/app'
/** Long enough for a slow machine; a test that waits for what never comes fails, and ends. */
const WAIT_MS = 20_000

/** A blob of the registry, and where Larder has it. */
export interface SiteBlob {
  readonly digest: Digest
  readonly bytes: Buffer
  readonly path: string
}

export interface SiteOptions extends Partial<LarderOptions> {
  readonly workers?: number
}

/** A registry, and in front of it a Larder of several processes. */
export class WorkerSite implements AsyncDisposable {
  readonly registry: FaultRegistry
  readonly larder: RunningLarder

  private constructor(registry: FaultRegistry, larder: RunningLarder) {
    this.registry = registry
    this.larder = larder
  }

  static async start({ workers = 2, server, ...more }: SiteOptions = {}): Promise<WorkerSite> {
    const registry = await new FaultRegistry().start()
    const upstream = { name: 'docker.io', url: registry.origin, access: 'public', default: true }
    const options = { upstreams: [upstream], server: { workers, ...server }, ...more }
    const larder = await startLarder(options).catch(async (error: unknown) => {
      await registry.close()
      throw error
    })
    return new WorkerSite(registry, larder)
  }

  addBlob(seed: string, size: number): SiteBlob {
    const bytes = seededBytes(seed, size)
    const digest = this.registry.content.putBlob(REPOSITORY, bytes)
    return { digest, bytes, path: `/v2/${REPOSITORY}/blobs/${digest}` }
  }

  /** Of the workers that there were so far, in the order in which they were ready. */
  pids(): readonly number[] {
    const lines = this.larder.logs().filter(({ msg }) => msg === 'a worker is ready')
    return lines.map(({ pid }) => Number(pid))
  }

  /** Once so many workers have been ready since the start. */
  async ready(times: number): Promise<readonly number[]> {
    await this.larder.logged('a worker is ready', times)
    return this.pids()
  }

  async samples(): Promise<readonly Sample[]> {
    const { body } = await send(this.larder.adminUrl, '/metrics')
    return samplesOf(body.toString())
  }

  async metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number> {
    return sumOf(await this.samples(), name, labels)
  }

  /** Settles once `isReached` holds of a metric; throws when it does not for long. */
  async until(
    name: string,
    isReached: (value: number) => boolean,
    labels?: Readonly<Record<string, string>>,
  ): Promise<void> {
    const endsAt = performance.now() + WAIT_MS
    for (;;) {
      const value = await this.metric(name, labels)
      if (isReached(value)) return
      if (performance.now() > endsAt) throw new Error(`${name} stays at ${value}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.larder.close()
    await this.registry.close()
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
