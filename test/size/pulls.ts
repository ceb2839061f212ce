import { setTimeout } from 'node:timers/promises'

import type { Digest } from '../../src/oci/digest.ts'
import { send } from '../support/http-client.ts'
import { seededBytes } from '../support/images.ts'
import type { Site } from './site.ts'

const REPOSITORY = 'team/pulled'
const HOT_BYTES = 8 * 2 ** 20
const COLD_BYTES = 256 * 1024
const CLIENTS = 2
const COLD = 64

/** Clients that pull one layer after the other: what is hot, and what is new. */
export class Pulls implements AsyncDisposable {
  readonly #site: Site
  readonly #hot: Digest
  readonly #cold: readonly Digest[]
  #clients: readonly Promise<void>[] = []
  #isOver = false
  #pulled = 0
  #count = 0

  constructor(site: Site) {
    this.#site = site
    const put = (seed: string, bytes: number) =>
      site.registry.content.putBlob(REPOSITORY, seededBytes(seed, bytes))
    this.#hot = put('hot', HOT_BYTES)
    this.#cold = Array.from({ length: COLD }, (_, i) => put(`cold ${i}`, COLD_BYTES))
  }

  async start(): Promise<void> {
    await this.#get(`/v2/${REPOSITORY}/blobs/${this.#hot}`)
    this.#clients = Array.from({ length: CLIENTS }, () => this.#pull())
  }

  /** Whole pulls a second while `work` goes on, and what it returns. */
  async during<T>(work: () => Promise<T>): Promise<{ readonly rate: number; readonly result: T }> {
    const [pulled, startedAt] = [this.#pulled, performance.now()]
    const result = await work()
    const rate = ((this.#pulled - pulled) * 1000) / (performance.now() - startedAt)
    return { rate, result }
  }

  /** Whole pulls a second while nothing else goes on. */
  async rate(milliseconds: number): Promise<number> {
    return (await this.during(() => setTimeout(milliseconds))).rate
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#clients)
  }

  async #pull(): Promise<void> {
    while (!this.#isOver) {
      const number = this.#count++
      await this.#get(`/v2/${REPOSITORY}/blobs/${this.#hot}`)
      const cold = this.#cold[number]
      if (cold !== undefined) await this.#get(`/v2/${REPOSITORY}/blobs/${cold}`)
      this.#pulled++
    }
  }

  async #get(path: string): Promise<void> {
    const { status, complete } = await send(this.#site.larder.url, path)
    if (status !== 200 || !complete) throw new Error(`${status} for ${path}`)
  }
}
