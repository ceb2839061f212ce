import { setTimeout as sleep } from 'node:timers/promises'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { stallOn } from '../load/clients.ts'
import { type ClientResponse, send } from '../support/http-client.ts'
import type { Image } from '../support/images.ts'
import type { RunningLarder } from '../support/larder.ts'
import type { Random } from './random.ts'

/** What came of all pulls. */
export interface Tally {
  pulls: number
  whole: number
  /** The body ended too early: an honest failure. */
  cut: number
  refused: number
  /** Clients that hung up, or took nothing for a while. */
  left: number
  readonly wrong: string[]
}

export interface SoakClientOptions {
  readonly larder: RunningLarder
  readonly blobs: ReadonlyMap<Digest, Buffer>
  readonly images: readonly Image[]
  readonly random: Random
  readonly tally: Tally
}

const PULL_MS = 60_000
const MAX_STALL_MS = 2_000
const REFUSED: ReadonlySet<number> = new Set([429, 500, 502, 503, 504])

/** One that knows what it should get, and looks. */
export class SoakClient {
  readonly #options: SoakClientOptions

  constructor(options: SoakClientOptions) {
    this.#options = options
  }

  async work(isOver: () => boolean): Promise<void> {
    const { random, tally } = this.#options
    while (!isOver()) {
      tally.pulls++
      try {
        await this.#act(random.below(10))
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        tally.wrong.push(`promise 10: a request found no answer: ${why}`)
      }
    }
  }

  async #act(kind: number): Promise<void> {
    if (kind === 0) return this.#stall()
    if (kind === 1) return this.#abort()
    if (kind === 2) return this.#range()
    if (kind === 3) return this.#manifest()
    return this.#pull()
  }

  #any(): { readonly path: string; readonly digest: Digest; readonly bytes: Buffer } {
    const [digest, bytes] = this.#options.random.pick([...this.#options.blobs])
    return { path: `/v2/library/app/blobs/${digest}`, digest, bytes }
  }

  #get(path: string, options: { readonly range?: string; readonly abortAfter?: number } = {}) {
    const signal = AbortSignal.timeout(PULL_MS)
    return send(this.#options.larder.url, path, { ...options, signal })
  }

  async #pull(): Promise<void> {
    const { path, digest } = this.#any()
    const got = await this.#get(path)
    this.#judge(got, 200, () => digestOf(got.body) === digest, path)
  }

  async #range(): Promise<void> {
    const { path, bytes } = this.#any()
    const start = this.#options.random.below(bytes.length)
    const end = start + this.#options.random.below(bytes.length - start)
    const got = await this.#get(path, { range: `bytes=${start}-${end}` })
    this.#judge(got, 206, () => got.body.equals(bytes.subarray(start, end + 1)), path)
  }

  async #manifest(): Promise<void> {
    const { random, images } = this.#options
    const index = random.below(images.length)
    const manifest = images[index]?.manifest
    const reference = random.below(2) === 0 ? `v${index}` : manifest?.digest
    const path = `/v2/library/app/manifests/${reference}`
    const got = await this.#get(path)
    this.#judge(got, 200, () => digestOf(got.body) === manifest?.digest, path)
  }

  async #abort(): Promise<void> {
    const { path, bytes } = this.#any()
    await this.#get(path, { abortAfter: 1 + this.#options.random.below(bytes.length) })
    this.#options.tally.left++
  }

  async #stall(): Promise<void> {
    const reader = await stallOn(this.#options.larder.port, this.#any().path)
    await sleep(this.#options.random.below(MAX_STALL_MS))
    reader.leave()
    this.#options.tally.left++
  }

  #judge(got: ClientResponse, status: number, isRight: () => boolean, path: string): void {
    const { tally } = this.#options
    if (REFUSED.has(got.status)) tally.refused++
    else if (got.status !== status) tally.wrong.push(`promise 6: ${got.status} for ${path}`)
    else if (!got.complete) tally.cut++
    else if (isRight()) tally.whole++
    else tally.wrong.push(`promise 1: wrong bytes in a complete ${status} for ${path}`)
  }
}
