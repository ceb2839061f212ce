import { setImmediate } from 'node:timers/promises'

import type { Digest } from '../oci/digest.ts'
import type { Child } from '../oci/manifest.ts'
import { chooseManifests, parsePlatform } from '../oci/platform.ts'
import type { SqliteCatalog } from './catalog.ts'
import { readManifest } from './image-platforms.ts'
import type { ReferencePin } from './pin.ts'
import type { BlobStore } from './ports.ts'

/** Rows looked at before other work gets its turn. */
const SLICE = 256

/** How well the pins are kept. */
export interface PinTotals {
  /** Of everything in the store that pins protect, each content once. */
  readonly pinnedBytes: number
  /** References of which everything is in the store: of an index the platforms that are meant. */
  readonly complete: number
  readonly incomplete: number
  /** Bytes, each content once, as far as sizes are known: what a missing manifest lists is not. */
  readonly missingBytes: number
}

/** What a reference means, and for which platforms. */
export type PinnedReference = Pick<ReferencePin, 'digest' | 'platforms'>

export interface PinSurveyOptions {
  readonly catalog: SqliteCatalog
  readonly blobs: Pick<BlobStore, 'read'>
  readonly references: () => readonly PinnedReference[]
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
    const { catalog, blobs, references, now } = this.#options
    const at = now()
    const walk = new Walk(catalog, blobs)
    const pinned = references()
    let complete = 0
    for (const one of pinned) if (await walk.visitPinned(one)) complete++
    const { missingBytes } = walk
    await walk.visitRest()
    const { pinnedBytes } = walk
    const incomplete = pinned.length - complete
    const totals = { pinnedBytes, complete, incomplete, missingBytes }
    this.#last = { totals, at }
    return totals
  }
}

class Walk {
  pinnedBytes = 0
  missingBytes = 0
  readonly #catalog: SqliteCatalog
  readonly #blobs: Pick<BlobStore, 'read'>
  /** Whether it is here with all that it lists; `false` while that is being found out. */
  readonly #isWhole = new Map<Digest, boolean>()
  /** Listed by what is pinned, for platforms that are not meant. */
  readonly #rest = new Set<Digest>()
  #steps = 0

  constructor(catalog: SqliteCatalog, blobs: Pick<BlobStore, 'read'>) {
    this.#catalog = catalog
    this.#blobs = blobs
  }

  /** True when what is meant of it is here. */
  async visitPinned({ digest, platforms }: PinnedReference): Promise<boolean> {
    const wanted = platforms && (await this.#childrenFor(digest, platforms))
    if (wanted === undefined) return this.visit(rootOf(digest))
    if (!this.#catalog.isOpen) return false
    this.#rest.add(digest)
    let isWhole = (await this.#catalog.getBlob(digest)) !== undefined
    for (const child of wanted) isWhole = (await this.visit(child)) && isWhole
    return isWhole
  }

  /** What else is protected, now that nothing more is missing. */
  async visitRest(): Promise<void> {
    for (const digest of this.#rest) await this.visit(rootOf(digest))
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

  /** `undefined`: it is no index, or cannot be read, or has none of them. */
  async #childrenFor(
    digest: Digest,
    platforms: readonly string[],
  ): Promise<readonly Child[] | undefined> {
    if (!this.#catalog.isOpen) return undefined
    const record = await this.#catalog.findManifest(digest)
    const read = record && (await readManifest(this.#blobs, digest, record.mediaType))
    const { manifests = [] } = read?.manifest ?? {}
    if (manifests.length === 0) return undefined
    const wanted = platforms.map(parsePlatform).filter((one) => one !== undefined)
    const chosen = chooseManifests(manifests, wanted)
    // Its tag has moved to what is for none of them.
    if (chosen.length === 0) return undefined
    return chosen.map(({ digest: child, size }) => ({ digest: child, kind: 'manifest', size }))
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
      await this.visit(rootOf(digest))
    }
  }
}

function rootOf(digest: Digest): Child {
  return { digest, kind: 'manifest', size: -1 }
}
