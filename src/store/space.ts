import type { Repository } from '../oci/reference.ts'
import type { SqliteCatalog } from './catalog.ts'
import { Slices } from './slices.ts'

/** What is counted is good for so long: it is for eyes. */
const FRESH_MS = 60_000
const PAGE = 64
const MAX_REPOSITORIES = 50

/** What one has on disk, in contents and their bytes. */
export interface SpaceShare {
  readonly bytes: number
  readonly blobs: number
  /** Of the bytes, those that another has too: they stay when this one goes. */
  readonly sharedBytes: number
}

export interface UpstreamSpace extends SpaceShare {
  readonly upstream: string
}

export interface RepositorySpace extends UpstreamSpace {
  readonly repository: Repository
}

export interface SpaceReport {
  /** Epoch milliseconds. */
  readonly countedAt: number
  /** The largest first. */
  readonly upstreams: readonly UpstreamSpace[]
  /** The largest, the largest first. */
  readonly repositories: readonly RepositorySpace[]
  /** What no repository is known to have: of a lost database, until somebody asks for it. */
  readonly unclaimed: Omit<SpaceShare, 'sharedBytes'>
}

export interface SpaceOptions {
  readonly catalog: Pick<SqliteCatalog, 'isOpen' | 'pageChecked' | 'selection' | 'images'>
  /** Epoch milliseconds. */
  readonly now: () => number
}

type Tally = { bytes: number; blobs: number; sharedBytes: number }

/**
 * Who uses the disk. Everything is gone through for it, in slices between which all else goes on,
 * once for all who ask.
 */
export class Space {
  readonly #options: SpaceOptions
  #counting: Promise<SpaceReport> | undefined
  #counted: SpaceReport | undefined

  constructor(options: SpaceOptions) {
    this.#options = options
  }

  /** A minute old at most. */
  async read(): Promise<SpaceReport> {
    const { now } = this.#options
    if (this.#counted !== undefined && now() - this.#counted.countedAt < FRESH_MS) {
      return this.#counted
    }
    this.#counting ??= this.#count().finally(() => {
      this.#counting = undefined
    })
    return await this.#counting
  }

  async #count(): Promise<SpaceReport> {
    const slices = new Slices()
    const places = await this.#places(slices)
    const ofUpstreams = new Map<string, Tally>()
    const ofRepositories = new Map<number, Tally>()
    const unclaimed = { bytes: 0, blobs: 0 }
    for await (const { size, ids } of this.#contents(slices)) {
      const upstreams = new Set(ids.map((id) => places.get(id)?.upstream))
      for (const id of ids) add(ofRepositories, id, size, ids.length > 1)
      for (const one of upstreams)
        if (one !== undefined) add(ofUpstreams, one, size, upstreams.size > 1)
      if (ids.length > 0) continue
      unclaimed.blobs++
      unclaimed.bytes += size
    }
    const repositories = [...ofRepositories].flatMap(([id, tally]) => {
      const place = places.get(id)
      return place === undefined ? [] : [{ ...place, ...tally }]
    })
    const upstreams = [...ofUpstreams].map(([upstream, tally]) => ({ upstream, ...tally }))
    this.#counted = {
      countedAt: this.#options.now(),
      upstreams: upstreams.toSorted(largestFirst),
      repositories: repositories.toSorted(largestFirst).slice(0, MAX_REPOSITORIES),
      unclaimed,
    }
    return this.#counted
  }

  async #places(slices: Slices) {
    const { catalog } = this.#options
    const places = new Map<number, { readonly upstream: string; readonly repository: Repository }>()
    for (let after = 0; catalog.isOpen; ) {
      const page = catalog.selection.pagePlaces(after, PAGE)
      for (const { id, upstream, repository } of page) places.set(id, { upstream, repository })
      const last = page.at(-1)
      if (last === undefined) break
      after = last.id
      await slices.rest()
    }
    return places
  }

  /** Each content, and the repositories that have or list it. */
  async *#contents(slices: Slices) {
    const { catalog } = this.#options
    for (let after = ''; catalog.isOpen; ) {
      const page = await catalog.pageChecked(after, PAGE)
      for (const { digest, size } of page) {
        yield { size, ids: catalog.images.repositoriesOf(digest) }
      }
      const last = page.at(-1)
      if (last === undefined) return
      after = last.digest
      await slices.rest()
    }
  }
}

function add<Key>(tallies: Map<Key, Tally>, key: Key, size: number, isShared: boolean): void {
  const tally = tallies.get(key) ?? { bytes: 0, blobs: 0, sharedBytes: 0 }
  tally.bytes += size
  tally.blobs++
  if (isShared) tally.sharedBytes += size
  tallies.set(key, tally)
}

function largestFirst(one: SpaceShare, other: SpaceShare): number {
  return other.bytes - one.bytes
}
