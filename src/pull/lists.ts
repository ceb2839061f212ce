import type { PullType } from '../metrics/pulls.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import { parseManifest } from '../oci/manifest.ts'
import { essence } from '../oci/media-types.ts'
import { referrersTag } from '../oci/reference.ts'
import type { Catalog, ListRecord, Place } from '../store/ports.ts'
import { UpstreamError } from '../upstream/errors.ts'
import { Coalescer } from './coalesce.ts'
import type { Epochs } from './epochs.ts'
import { isOutage, toRegistryError } from './failures.ts'
import { ageMs } from './freshness.ts'
import type { Negatives } from './negatives.ts'
import { keyOf, type Outcome, type Pull } from './pull.ts'

/** Lists move as tags do, and whoever polls them (Flux, Argo CD) does so about once a minute. */
const LIST_FRESH_MS = 30_000

export interface PulledList<Item> {
  readonly items: readonly Item[]
  readonly outcome: Outcome
}

export interface ListsOptions {
  readonly catalog: Catalog
  readonly negatives: Negatives
  readonly epochs: Epochs
  readonly onStoreFailed: (operation: string, error: unknown) => void
  /** Told of the bytes that come from a registry, of use or not. */
  readonly onFetched: (upstream: string, type: PullType, bytes: number) => void
  /** Epoch milliseconds. */
  readonly now: () => number
}

type Kind = 'tags' | 'referrers'

/** Tags of a repository and referrers of a digest: the registry's answer, else what is known here. */
export class Lists {
  readonly #options: ListsOptions
  readonly #asked = new Coalescer<string>()

  constructor(options: ListsOptions) {
    this.#options = options
  }

  /** In byte order, as the specification allows and clients expect. */
  async tags(pull: Pull): Promise<PulledList<string>> {
    const { place, upstream } = pull
    const ask = async () => {
      const tags = await upstream.registry.listTags(place.repository, this.#counting(pull, 'tags'))
      return [...new Set(tags)].sort()
    }
    return this.#get<string>(pull, 'tags', '', ask, () => this.#options.catalog.listTags(place))
  }

  /** What points at `subject`, by the API or, where the registry has none, by the tag schema. */
  async referrers(pull: Pull, subject: Digest): Promise<PulledList<Descriptor>> {
    const ask = async () => {
      const { registry } = pull.upstream
      const options = this.#counting(pull, 'referrers')
      const listed = await registry.listReferrers(pull.place.repository, subject, options)
      return listed ?? (await this.#referrersByTag(pull, subject))
    }
    const known = () => this.#knownReferrers(pull.place, subject)
    return this.#get<Descriptor>(pull, 'referrers', subject, ask, known)
  }

  /** A push or delete went through to the registry. */
  async forget(place: Place): Promise<void> {
    await this.#options.catalog.deleteLists(place, 'tags')
    await this.#options.catalog.deleteLists(place, 'referrers')
  }

  async #get<Item>(
    pull: Pull,
    kind: Kind,
    key: string,
    ask: () => Promise<readonly Item[]>,
    known: () => Promise<readonly Item[]>,
  ): Promise<PulledList<Item>> {
    const { catalog, negatives, epochs, now } = this.#options
    const epoch = epochs.of(pull.place)
    const record = await catalog.getList(pull.place, kind, key)
    const age = record && ageMs(record, now())
    if (record && age !== undefined && age <= LIST_FRESH_MS) {
      return { items: itemsOf(record), outcome: { result: 'hit', ageSeconds: seconds(age) } }
    }
    const question = keyOf(pull, String(epoch), kind, key)
    try {
      const { answer, isShared } = await this.#asked.ask(question, () =>
        negatives.asked(question, async () => {
          const body = JSON.stringify(await ask())
          if (epochs.of(pull.place) === epoch) await this.#put(pull.place, kind, key, body)
          return body
        }),
      )
      const outcome = { result: isShared ? 'coalesced' : 'miss', ageSeconds: 0 } as const
      return { items: JSON.parse(answer), outcome }
    } catch (error) {
      const copy = await this.#copy(pull, record, error, known)
      if (copy === undefined) throw toRegistryError(error, kind)
      const warning = error instanceof Error ? error.message : String(error)
      return { items: copy, outcome: { result: 'stale', ageSeconds: seconds(age ?? 0), warning } }
    }
  }

  /**
   * Only in an outage. An empty list would say that there is none, which a signature check believes,
   * so where nothing is known nothing is said.
   */
  async #copy<Item>(
    pull: Pull,
    record: ListRecord | undefined,
    error: unknown,
    known: () => Promise<readonly Item[]>,
  ): Promise<readonly Item[] | undefined> {
    if (!isOutage(error)) return undefined
    const isOffline = error instanceof UpstreamError && error.kind === 'offline'
    const { staleIfErrorMs } = pull.upstream.config
    if (record && (isOffline || ageMs(record, this.#options.now()) <= staleIfErrorMs)) {
      return itemsOf(record)
    }
    const items = await known()
    return items.length > 0 ? items : undefined
  }

  #counting(pull: Pull, type: Kind) {
    const { upstream } = pull.place
    return { ...pull, onBytes: (bytes: number) => this.#options.onFetched(upstream, type, bytes) }
  }

  async #put(place: Place, kind: Kind, key: string, body: string): Promise<void> {
    try {
      const record = { body, checkedAt: this.#options.now() }
      await this.#options.catalog.putList(place, kind, key, record)
    } catch (error) {
      this.#options.onStoreFailed('list', error)
    }
  }

  /** distribution-spec v1.1.1 "Referrers Tag Schema": 404 there too means that there are none. */
  async #referrersByTag(pull: Pull, subject: Digest): Promise<readonly Descriptor[]> {
    const reference = { kind: 'tag', tag: referrersTag(subject) } as const
    const { registry } = pull.upstream
    try {
      const options = this.#counting(pull, 'referrers')
      const remote = await registry.getManifest(pull.place.repository, reference, options)
      return parseManifest(remote.bytes, essence(remote.mediaType)).manifests
    } catch (error) {
      if (error instanceof UpstreamError && error.kind === 'unknown') return []
      throw error
    }
  }

  async #knownReferrers(place: Place, subject: Digest): Promise<readonly Descriptor[]> {
    const records = await this.#options.catalog.listReferrers(place, subject)
    return records.map(({ mediaType, digest, size, artifactType, annotations }) => ({
      mediaType,
      digest,
      size,
      ...(artifactType === undefined ? {} : { artifactType }),
      annotations,
    }))
  }
}

/** Rows are only ever written by `#put`. */
function itemsOf<Item>(record: ListRecord): readonly Item[] {
  return JSON.parse(record.body) as readonly Item[]
}

function seconds(milliseconds: number): number {
  return Math.max(0, Math.floor(milliseconds / 1000))
}
