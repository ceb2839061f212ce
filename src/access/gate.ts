import { LRUCache } from 'lru-cache'

import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Reference } from '../oci/reference.ts'
import { toRegistryError } from '../pull/failures.ts'
import type { Catalog, Place } from '../store/ports.ts'
import { UpstreamError } from '../upstream/errors.ts'
import type { Identity } from '../upstream/ports.ts'
import type { Upstream } from '../upstream/routing.ts'
import type { Caller } from './caller.ts'

/** A right that was shown is good for this long, and so is a repository's being public. */
const GRANT_MS = 5 * 60_000
const REFUSAL_MS = 30_000
const MAX_VERDICTS = 50_000

/** What the caller asks for: the proof of a right is that the registry gives it that very thing. */
export type Asked =
  | { readonly kind: 'manifest'; readonly reference: Reference }
  | { readonly kind: 'blob'; readonly digest: Digest }
  | { readonly kind: 'tags' }
  | { readonly kind: 'referrers'; readonly subject: Digest }

type Verdict = 'granted' | 'refused'

interface Remembered {
  readonly verdict: Verdict
  /** Monotonic milliseconds. */
  readonly until: number
  readonly at: number
}

export interface GateOptions {
  readonly catalog: Catalog
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
}

/**
 * The one gate before every byte: hits, misses, flights joined, HEAD and Range alike. It says as
 * whom the registry may be asked for this caller, or refuses. What it finds is remembered for a
 * bounded time; a credential is remembered only as its HMAC.
 */
export class Gate {
  readonly #options: GateOptions
  readonly #verdicts = new LRUCache<string, Remembered>({ max: MAX_VERDICTS })
  readonly #asking = new Map<string, Promise<Verdict>>()

  constructor(options: GateOptions) {
    this.#options = options
  }

  /**
   * @throws {RegistryError} `UNAUTHORIZED` with a challenge, or `DENIED`; what is absent and what is
   *   forbidden look alike
   */
  async admit(caller: Caller, upstream: Upstream, place: Place, asked: Asked): Promise<Identity> {
    try {
      return await this.#admit(caller, upstream, place, asked)
    } catch (error) {
      throw toRegistryError(error, asked.kind)
    }
  }

  /** Rights may have changed. */
  forget(): void {
    this.#verdicts.clear()
  }

  async #admit(caller: Caller, upstream: Upstream, place: Place, asked: Asked): Promise<Identity> {
    switch (upstream.config.access) {
      case 'shared':
        return LARDER
      case 'public':
        return this.#admitToPublic(upstream, place, asked)
      case 'caller':
        return this.#admitCaller(caller, upstream, place, asked)
      default:
        return upstream.config.access satisfies never
    }
  }

  /** Larder's account may read more than the public: the public's right is asked for without it. */
  async #admitToPublic(upstream: Upstream, place: Place, asked: Asked): Promise<Identity> {
    // Without an account everything here came, and comes, anonymously.
    if (upstream.config.credentials.length === 0) return LARDER
    const verdict = await this.#ask(ANONYMOUS, upstream, place, asked).catch((error: unknown) => {
      if (!isUnreachable(error)) throw error
      return this.#isKnown(place, asked)
    })
    if (verdict === 'refused') throw denied()
    return LARDER
  }

  async #admitCaller(
    caller: Caller,
    upstream: Upstream,
    place: Place,
    asked: Asked,
  ): Promise<Identity> {
    if ((await this.#askOrStale(ANONYMOUS, upstream, place, asked)) === 'granted') return ANONYMOUS
    const { credential } = caller
    if (credential === undefined) throw challenge(caller, upstream)
    const verdict = await this.#askOrStale(credential, upstream, place, asked)
    if (verdict === 'refused') throw denied()
    return credential
  }

  /** An outage is no proof: refused, unless a proof of not long ago may stand in for it. */
  async #askOrStale(
    as: Identity,
    upstream: Upstream,
    place: Place,
    asked: Asked,
  ): Promise<Verdict> {
    try {
      return await this.#ask(as, upstream, place, asked)
    } catch (error) {
      if (!isUnreachable(error)) throw error
      const last = this.#verdicts.get(keyOf(as, place))
      const age = last === undefined ? Infinity : this.#options.monotonic() - last.at
      const isGood = last?.verdict === 'granted' && age <= upstream.config.staleGrantMs
      return isGood ? 'granted' : 'refused'
    }
  }

  async #ask(as: Identity, upstream: Upstream, place: Place, asked: Asked): Promise<Verdict> {
    const key = keyOf(as, place)
    const known = this.#verdicts.get(key)
    const now = this.#options.monotonic()
    if (known !== undefined && now < known.until) return known.verdict
    const asking = this.#asking.get(key)
    if (asking !== undefined) return asking
    const question = this.#prove(as, upstream, place, asked).then((verdict) => {
      const at = this.#options.monotonic()
      const until = at + (verdict === 'granted' ? GRANT_MS : REFUSAL_MS)
      this.#verdicts.set(key, { verdict, until, at })
      return verdict
    })
    const settled = question.finally(() => this.#asking.delete(key))
    this.#asking.set(key, settled)
    return settled
  }

  /** A token alone proves nothing: registries issue them with fewer rights than were asked for. */
  async #prove(
    as: Identity,
    { registry }: Upstream,
    { repository }: Place,
    asked: Asked,
  ): Promise<Verdict> {
    try {
      switch (asked.kind) {
        case 'manifest':
          await registry.headManifest(repository, asked.reference, { as })
          break
        case 'referrers': {
          const reference = { kind: 'digest', digest: asked.subject } as const
          await registry.headManifest(repository, reference, { as })
          break
        }
        case 'blob':
          await registry.headBlob(repository, asked.digest, { as })
          break
        case 'tags':
          await registry.listTags(repository, { as })
          break
        default:
          asked satisfies never
      }
      return 'granted'
    } catch (error) {
      if (error instanceof UpstreamError && error.kind === 'denied') return 'refused'
      throw error
    }
  }

  /** It came in through this gate, so it was public when the registry could still be asked. */
  async #isKnown(place: Place, asked: Asked): Promise<Verdict> {
    const { catalog } = this.#options
    const digest = asked.kind === 'blob' ? asked.digest : undefined
    const isKnown =
      digest === undefined
        ? (await catalog.listTags(place)).length > 0
        : (await catalog.getMember(place, digest, 'blob')) !== undefined
    return isKnown ? 'granted' : 'refused'
  }
}

const LARDER: Identity = { kind: 'larder' }
const ANONYMOUS: Identity = { kind: 'anonymous' }

function keyOf(as: Identity, { upstream, repository }: Place): string {
  return `${upstream}\n${repository}\n${as.kind === 'caller' ? as.fingerprint : as.kind}`
}

function isUnreachable(error: unknown): boolean {
  return error instanceof UpstreamError && error.kind !== 'unknown' && error.kind !== 'denied'
}

function denied(): RegistryError {
  return new RegistryError('DENIED')
}

/** A challenge makes clients send their secret, so it is made only where nobody else can read it. */
function challenge(caller: Caller, upstream: Upstream): RegistryError {
  if (!caller.isEncrypted && !upstream.config.allowPlainChallenge) return denied()
  const headers = { 'WWW-Authenticate': `Basic realm="${upstream.config.name}", charset="UTF-8"` }
  return new RegistryError('UNAUTHORIZED', { headers })
}
