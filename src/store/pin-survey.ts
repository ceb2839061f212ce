import { setImmediate } from 'node:timers/promises'

import type { Digest } from '../oci/digest.ts'
import type { Child } from '../oci/manifest.ts'
import type { SqliteCatalog } from './catalog.ts'

/** Rows looked at before other work gets its turn. */
const SLICE = 256

/** How well the pins are kept. */
export interface PinTotals {
  /** Of everything in the store that pins protect, each content once. */
  readonly pinnedBytes: number
  /** References of which everything is in the store, all platforms of an index included. */
  readonly complete: number
  readonly incomplete: number
  /** Bytes, each content once, as far as sizes are known: what a missing manifest lists is not. */
  readonly missingBytes: number
}

export interface PinSurveyOptions {
  readonly catalog: SqliteCatalog
  /** What each pinned reference means. */
  readonly references: () => readonly Digest[]
  /** Told of a survey that failed while nobody waited for it. */
  readonly onError: (error: unknown) => void
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** A survey looks at everything that is pinned: a scrape takes the last one, if it is not older. */
const MAX_AGE_MS = 60_000

export class PinSurvey {
  readonly #options: PinSurveyOptions
  #running: Promise<PinTotals> | undefined
  #last: { readonly totals: PinTotals; readonly at: number } | undefined

  constructor(options: PinSurveyOptions) {
    this.#options = options
  }

  /** Looks now, in slices between which everything else goes on. Who asks meanwhile shares it. */
  take(): Promise<PinTotals> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** The last one; when that is old, a new one begins behind its back. */
  async last(): Promise<PinTotals> {
    if (this.#last === undefined) return this.take()
    const { totals, at } = this.#last
    const age = this.#options.now() - at
    if (age < 0 || age > MAX_AGE_MS) this.take().catch(this.#options.onError)
    return totals
  }

  async close(): Promise<void> {
    await this.#running?.catch(() => {})
  }

  async #run(): Promise<PinTotals> {
    const { catalog, references, now } = this.#options
    const at = now()
    const walk = new Walk(catalog)
    const digests = references()
    let complete = 0
    for (const digest of digests) {
      if (await walk.visit({ digest, kind: 'manifest', size: -1 })) complete++
    }
    const { pinnedBytes, missingBytes } = walk
    const incomplete = digests.length - complete
    const totals = { pinnedBytes, complete, incomplete, missingBytes }
    this.#last = { totals, at }
    return totals
  }
}

class Walk {
  pinnedBytes = 0
  missingBytes = 0
  readonly #catalog: SqliteCatalog
  /** Whether it is here with all that it lists; `false` while that is being found out. */
  readonly #isWhole = new Map<Digest, boolean>()
  #steps = 0

  constructor(catalog: SqliteCatalog) {
    this.#catalog = catalog
  }

  /** True when it is here with everything that it lists. */
  async visit({ digest, kind, size }: Child): Promise<boolean> {
    const known = this.#isWhole.get(digest)
    if (known !== undefined) return known
    this.#isWhole.set(digest, false)
    if (++this.#steps % SLICE === 0) await setImmediate()
    if (!this.#catalog.isOpen) return false
    const blob = await this.#catalog.getBlob(digest)
    if (blob === undefined) this.missingBytes += Math.max(0, size)
    else this.pinnedBytes += blob.size
    const isHere = blob !== undefined
    const isWhole = kind === 'blob' ? isHere : (await this.#visitChildren(digest)) && isHere
    this.#isWhole.set(digest, isWhole)
    // Kept with it, yet it is whole without them.
    if (kind === 'manifest') await this.#visitReferrers(digest)
    return isWhole
  }

  async #visitChildren(digest: Digest): Promise<boolean> {
    let isWhole = true
    for (const child of this.#catalog.pins.childrenOf(digest)) {
      isWhole = (await this.visit(child)) && isWhole
      if (!this.#catalog.isOpen) return false
    }
    return isWhole
  }

  async #visitReferrers(subject: Digest): Promise<void> {
    if (!this.#catalog.isOpen) return
    for (const digest of this.#catalog.pins.referrersOf(subject)) {
      await this.visit({ digest, kind: 'manifest', size: -1 })
    }
  }
}
