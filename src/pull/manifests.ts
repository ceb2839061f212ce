import type { Digest } from '../oci/digest.ts'
import { type Manifest, parseManifest } from '../oci/manifest.ts'
import { essence } from '../oci/media-types.ts'
import { formatReference, type Reference, type Tag } from '../oci/reference.ts'
import type { Place, TagRecord } from '../store/ports.ts'
import { UpstreamError } from '../upstream/errors.ts'
import type { RemoteManifest } from '../upstream/ports.ts'
import type { Upstream } from '../upstream/routing.ts'
import { Coalescer } from './coalesce.ts'
import type { Epochs } from './epochs.ts'
import { isOutage, toRegistryError } from './failures.ts'
import { freshness, TagRules } from './freshness.ts'
import type { Negatives } from './negatives.ts'
import { keyOf, type Outcome, type Pull } from './pull.ts'
import type { Shelf, StoredManifest } from './shelf.ts'

export interface PulledManifest extends StoredManifest {
  readonly outcome: Outcome
}

export interface ManifestsOptions {
  readonly shelf: Shelf
  readonly negatives: Negatives
  readonly epochs: Epochs
  readonly onFetched: (upstream: string, bytes: number) => void
  readonly onUsed: (digest: Digest) => void
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** A reference → its manifest: fresh, revalidated, fetched, or stale because nobody could be asked. */
export class Manifests {
  readonly #options: ManifestsOptions
  readonly #rules = new WeakMap<Upstream, TagRules>()
  readonly #fetches = new Coalescer<StoredManifest>()
  readonly #checks = new Coalescer<PulledManifest>()

  constructor(options: ManifestsOptions) {
    this.#options = options
  }

  /** @throws {RegistryError} with what the registry said, or why it could not be asked */
  async get(pull: Pull, reference: Reference): Promise<PulledManifest> {
    try {
      const pulled =
        reference.kind === 'digest'
          ? await this.#getByDigest(pull, reference.digest)
          : await this.#getByTag(pull, reference.tag)
      this.#options.onUsed(pulled.digest)
      return pulled
    } catch (error) {
      throw toRegistryError(error, 'manifest')
    }
  }

  /** A push or a delete went through to the registry: what it changed is asked for again. */
  async forget(place: Place, reference: Reference): Promise<void> {
    const { shelf } = this.#options
    if (reference.kind === 'tag') return shelf.forgetTags(place, reference.tag)
    await shelf.forgetManifest(place, reference.digest)
    await shelf.forgetTags(place, undefined)
  }

  async #getByDigest(pull: Pull, digest: Digest): Promise<PulledManifest> {
    const here = await this.#options.shelf.find(pull.place, digest)
    if (here !== undefined) return { ...here, outcome: { result: 'hit' } }
    return this.#fetch(pull, { kind: 'digest', digest })
  }

  async #getByTag(pull: Pull, tag: Tag): Promise<PulledManifest> {
    const { shelf, now } = this.#options
    const known = await shelf.tag(pull.place, tag)
    const here = known && (await shelf.find(pull.place, known.digest))
    const rule = this.#rulesOf(pull.upstream).for(pull.place.repository, tag)
    if (known === undefined || here === undefined) {
      if (rule.pullPolicy === 'Never') throw neverAsked(pull.place.upstream)
      return this.#fetch(pull, { kind: 'tag', tag })
    }
    if (freshness(rule, known.checkedAt, now()) === 'fresh') {
      return { ...here, outcome: { result: 'hit', ...this.#age(known) } }
    }
    const epoch = this.#options.epochs.of(pull.place)
    const question = () => this.#revalidate(pull, tag, known, here, epoch)
    const key = keyOf(pull, String(epoch), tag)
    const { answer, isShared } = await this.#checks.ask(key, question)
    return isShared && answer.outcome.result === 'miss' ? coalesced(answer) : answer
  }

  /** Asks with HEAD, which costs no pull of a registry's quota, and fetches only what changed. */
  async #revalidate(
    pull: Pull,
    tag: Tag,
    known: TagRecord,
    here: StoredManifest,
    epoch: number,
  ): Promise<PulledManifest> {
    const { shelf, negatives } = this.#options
    try {
      const reference = { kind: 'tag', tag } as const
      const { registry } = pull.upstream
      const { digest } = await negatives.asked(keyOf(pull, String(epoch), 'HEAD', tag), () =>
        registry.headManifest(pull.place.repository, reference, pull),
      )
      const isSame = digest === known.digest
      const current = isSame ? here : await this.#getByDigest(pull, digest)
      await shelf.putTag(pull.place, tag, digest, epoch)
      return { ...current, outcome: { result: isSame ? 'revalidated' : 'miss', ageSeconds: 0 } }
    } catch (error) {
      if (!this.#mayServeStale(pull, tag, known, error)) throw error
      const warning = error instanceof Error ? error.message : String(error)
      return { ...here, outcome: { result: 'stale', ...this.#age(known), warning } }
    }
  }

  /**
   * An outage lets a tag grow as old as `staleIfError`; a site that is offline has no other. A
   * refusal is an answer. So is 404, but IfNotPresent asks for what is present.
   */
  #mayServeStale(pull: Pull, tag: Tag, known: TagRecord, error: unknown): boolean {
    if (!(error instanceof UpstreamError)) return false
    if (error.kind === 'offline') return true
    const { config } = pull.upstream
    if (this.#options.now() - known.checkedAt > config.staleIfErrorMs) return false
    if (isOutage(error)) return true
    const rule = this.#rulesOf(pull.upstream).for(pull.place.repository, tag)
    return error.kind === 'unknown' && rule.pullPolicy !== 'Always'
  }

  async #fetch(pull: Pull, reference: Reference): Promise<PulledManifest> {
    const { negatives, epochs } = this.#options
    const epoch = epochs.of(pull.place)
    const key = keyOf(pull, String(epoch), formatReference(reference))
    const { answer, isShared } = await this.#fetches.ask(key, () =>
      negatives.asked(key, () => this.#download(pull, reference, epoch)),
    )
    const pulled = { ...answer, outcome: { result: 'miss', ageSeconds: 0 } } as const
    return isShared ? coalesced(pulled) : pulled
  }

  async #download(pull: Pull, reference: Reference, epoch: number): Promise<StoredManifest> {
    const { shelf, onFetched } = this.#options
    const { place } = pull
    const { registry } = pull.upstream
    // The bytes may be here from another repository: then the registry need only say that this one
    // has them too.
    const here = reference.kind === 'digest' ? await shelf.read(reference.digest) : undefined
    if (here !== undefined) await registry.headManifest(place.repository, reference, pull)
    const remote = here ?? (await registry.getManifest(place.repository, reference, pull))
    if (here === undefined) onFetched(place.upstream, remote.bytes.length)
    const manifest = parsed(place.upstream, remote)
    const tag = reference.kind === 'tag' ? reference.tag : undefined
    return shelf.keep(place, manifest, remote, tag, epoch)
  }

  #rulesOf(upstream: Upstream): TagRules {
    const known = this.#rules.get(upstream)
    if (known !== undefined) return known
    const rules = new TagRules(upstream.config.tags)
    this.#rules.set(upstream, rules)
    return rules
  }

  #age({ checkedAt }: TagRecord): { readonly ageSeconds: number } {
    return { ageSeconds: Math.max(0, Math.floor((this.#options.now() - checkedAt) / 1000)) }
  }
}

/** As if offline: the registry is not asked, so nobody can say that it has no such tag. */
function neverAsked(upstream: string): UpstreamError {
  const message = 'not in this cache, and its registry is never asked for it'
  return new UpstreamError('offline', { upstream, reason: 'offline', message })
}

function coalesced(pulled: PulledManifest): PulledManifest {
  return { ...pulled, outcome: { result: 'coalesced', ageSeconds: 0 } }
}

/** A registry that serves what no client could use has not answered. */
function parsed(upstream: string, remote: RemoteManifest | StoredManifest): Manifest {
  try {
    return parseManifest(remote.bytes, essence(remote.mediaType))
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : 'manifest is not usable'
    throw new UpstreamError('invalid', { upstream, reason: 'protocol', message, cause })
  }
}
