import type { Logger } from '../log.ts'
import type { FetchReason } from '../metrics/pulls.ts'
import type { Digest } from '../oci/digest.ts'
import { type Manifest, parseManifest } from '../oci/manifest.ts'
import { essence } from '../oci/media-types.ts'
import { formatReference, type Reference, type Tag } from '../oci/reference.ts'
import type { Place } from '../store/ports.ts'
import { UpstreamError } from '../upstream/errors.ts'
import type { RemoteManifest } from '../upstream/ports.ts'
import { Coalescer } from './coalesce.ts'
import type { Epochs } from './epochs.ts'
import { toRegistryError } from './failures.ts'
import { freshness, TagPolicies } from './freshness.ts'
import type { Negatives } from './negatives.ts'
import { keyOf, type Pull } from './pull.ts'
import type { Shelf, StoredManifest } from './shelf.ts'
import { type PulledManifest, TagChecks } from './tag-checks.ts'

export interface ManifestsOptions {
  readonly shelf: Shelf
  readonly negatives: Negatives
  readonly epochs: Epochs
  /** Told of the bytes that come from a registry, of use or not. */
  readonly onFetched: (upstream: string, bytes: number, reason: FetchReason) => void
  readonly onUsed: (digest: Digest) => void
  /** Told of a tag that could not be refreshed in the background; absent: nobody is. */
  readonly logger?: Pick<Logger, 'debug' | 'warn'>
  /** Epoch milliseconds of a time line that never jumps: ages are measured by it. */
  readonly now: () => number
}

/** A reference → its manifest: fresh, revalidated, fetched, or stale because nobody could be asked. */
export class Manifests {
  readonly #options: ManifestsOptions
  readonly #rules = new TagPolicies()
  readonly #fetches = new Coalescer<StoredManifest>()
  readonly #checks: TagChecks

  constructor(options: ManifestsOptions) {
    this.#options = options
    const getByDigest = (pull: Pull, digest: Digest) => this.#getByDigest(pull, digest)
    this.#checks = new TagChecks({ ...options, getByDigest })
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

  /** Its file is damaged or gone: stores it again, from memory or as a pull does. */
  async restore(pull: Pull, digest: Digest): Promise<void> {
    if (await this.#options.shelf.restore(digest)) return
    await this.get(pull, { kind: 'digest', digest })
  }

  /** A push or a delete went through to the registry: what it changed is asked for again. */
  async forget(place: Place, reference: Reference): Promise<void> {
    const { shelf } = this.#options
    if (reference.kind === 'tag') return shelf.forgetTags(place, reference.tag)
    await shelf.forgetManifest(place, reference.digest)
    await shelf.forgetTags(place, undefined)
  }

  /** Gives up what is being refreshed in the background. Pulls are the listener's to wait for. */
  async stop(): Promise<void> {
    await this.#checks.stop()
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
    const rule = this.#rules.of(pull.upstream).for(pull.place.repository, tag)
    if (known === undefined || here === undefined) {
      if (rule.pullPolicy === 'Never') throw neverAsked(pull.place.upstream)
      return this.#fetch(pull, { kind: 'tag', tag })
    }
    const found = { tag, rule, known, here }
    switch (freshness(rule, pull.upstream.config, known, now())) {
      case 'fresh':
        return this.#checks.copy(found, { result: 'hit' })
      case 'stale-while-revalidate':
        return this.#checks.copyAndRefresh(pull, found)
      case 'stale': {
        const { answer, isShared } = await this.#checks.check(pull, found)
        return isShared && answer.outcome.result === 'miss' ? coalesced(answer) : answer
      }
    }
  }

  async #fetch(pull: Pull, reference: Reference): Promise<PulledManifest> {
    const { negatives, epochs } = this.#options
    const epoch = epochs.of(pull.place)
    const key = keyOf(pull, String(epoch), formatReference(reference))
    const question = () => this.#download(pull, reference, epoch)
    // Who is waited for does not wait with who is not.
    const line = pull.urgency ?? 'interactive'
    const { answer, isShared } = await this.#fetches.ask(`${key}\n${line}`, () =>
      reference.kind === 'tag'
        ? this.#checks.asked(pull, reference.tag, epoch, key, question)
        : negatives.asked(key, question),
    )
    const age = reference.kind === 'tag' ? { ageSeconds: 0 } : {}
    const pulled = { ...answer, outcome: { result: 'miss', ...age } } as const
    return isShared ? coalesced(pulled) : pulled
  }

  async #download(pull: Pull, reference: Reference, epoch: number): Promise<StoredManifest> {
    const { shelf, onFetched } = this.#options
    const { place } = pull
    const { registry } = pull.upstream
    // The bytes may be here from another repository: then the registry need only say that this one
    // has them too.
    const here = reference.kind === 'digest' ? await shelf.read(reference.digest) : undefined
    const { reason = 'pull' } = pull
    const onBytes = (bytes: number) => onFetched(place.upstream, bytes, reason)
    const options = { ...pull, onBytes }
    if (here !== undefined) await registry.headManifest(place.repository, reference, options)
    const remote = here ?? (await registry.getManifest(place.repository, reference, options))
    const manifest = parsed(place.upstream, remote)
    const tag = reference.kind === 'tag' ? reference.tag : undefined
    return shelf.keep(place, manifest, remote, tag, epoch)
  }
}

/** As if offline: the registry is not asked, so nobody can say that it has no such tag. */
function neverAsked(upstream: string): UpstreamError {
  const message = 'not in this cache, and its registry is never asked for it'
  return new UpstreamError('offline', { upstream, reason: 'offline', message })
}

function coalesced(pulled: PulledManifest): PulledManifest {
  return { ...pulled, outcome: { ...pulled.outcome, result: 'coalesced' } }
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
