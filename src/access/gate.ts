import { RegistryError } from '../oci/errors.ts'
import { isOutage, toRegistryError } from '../pull/failures.ts'
import type { Outcome } from '../pull/pull.ts'
import type { Catalog, Place } from '../store/ports.ts'
import { UpstreamError } from '../upstream/errors.ts'
import type { Identity } from '../upstream/ports.ts'
import type { Upstream } from '../upstream/routing.ts'
import type { Caller } from './caller.ts'
import { type Asked, prove, type Verdict } from './proof.ts'
import { Verdicts } from './verdicts.ts'

/** A right that was shown is good for this long, and so is a repository's being public. */
const GRANT_MS = 5 * 60_000
const REFUSAL_MS = 30_000
/** How long the public of a registry that cannot be asked is served before it is asked again. */
const OUTAGE_MS = 10_000

export interface GateOptions {
  readonly catalog: Pick<Catalog, 'getPublicAt' | 'putPublicAt'>
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
  /** Epoch milliseconds. */
  readonly now: () => number
}

/**
 * The one gate before every byte: hits, misses, flights joined, HEAD and Range alike. It says as
 * whom the registry may be asked for this caller, or refuses. What it finds is remembered for a
 * bounded time; a credential is remembered only as its HMAC.
 */
export class Gate {
  readonly #options: GateOptions
  readonly #verdicts: Verdicts

  constructor(options: GateOptions) {
    this.#options = options
    this.#verdicts = new Verdicts(options.monotonic)
  }

  /**
   * @throws {RegistryError} `UNAUTHORIZED` with a challenge, or `DENIED`; to whoever has no right,
   *   what is absent and what is forbidden look as alike as the registry makes them
   */
  async admit(caller: Caller, upstream: Upstream, place: Place, asked: Asked): Promise<Identity> {
    try {
      return await this.#admit(caller, upstream, place, asked)
    } catch (error) {
      throw toRegistryError(error, asked.kind)
    }
  }

  /** The registry has just given something of `place` to `as`: that is as good as any proof. */
  async proved(upstream: Upstream, place: Place, as: Identity, { result }: Outcome): Promise<void> {
    if (result !== 'miss' && result !== 'revalidated') return
    if (as.kind === 'caller') return this.#verdicts.put(place, as, 'granted', GRANT_MS)
    const hasAccount = upstream.config.credentials.length > 0
    const isAnonymous = as.kind === 'anonymous' || (as.kind === 'larder' && !hasAccount)
    if (isAnonymous && upstream.config.access !== 'shared') await this.#learnPublic(place)
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
    if (this.#verdicts.fresh(place, ANONYMOUS) === 'granted') return LARDER
    const hasAccount = upstream.config.credentials.length > 0
    const publicAt = await this.#options.catalog.getPublicAt(place)
    // Nothing of it can be here yet, and what is fetched is fetched anonymously.
    if (!hasAccount && publicAt === undefined) return LARDER
    try {
      const verdict = await this.#isPublic(upstream, place, asked)
      if (verdict === 'refused') throw denied()
      return LARDER
    } catch (error) {
      if (error instanceof UpstreamError && error.kind === 'unknown' && !hasAccount) return LARDER
      if (!isOutage(error) || publicAt === undefined) throw error
      // It was public when the registry could still be asked.
      this.#verdicts.put(place, ANONYMOUS, 'granted', OUTAGE_MS)
      return LARDER
    }
  }

  /**
   * A caller's own right first: whoever sends a secret mostly asks for what needs one. An outage
   * proves nothing, so then only a proof of not long ago counts, where `staleGrant` allows it.
   */
  async #admitCaller(
    { credential, isEncrypted }: Caller,
    upstream: Upstream,
    place: Place,
    asked: Asked,
  ): Promise<Identity> {
    const { config } = upstream
    if (credential !== undefined) {
      const verdict = await this.#verdicts
        .ask(place, credential, () => prove(upstream, place, asked, credential), LIFETIMES)
        .catch((error: unknown) => {
          if (!isOutage(error)) throw error
          return this.#verdicts.stale(place, credential, config.staleGrantMs)
        })
      if (verdict === 'granted') return credential
    }
    const isPublic = await this.#isPublic(upstream, place, asked).catch((error: unknown) => {
      if (!isOutage(error)) throw error
      return this.#verdicts.stale(place, ANONYMOUS, config.staleGrantMs)
    })
    if (isPublic === 'granted') return ANONYMOUS
    if (credential !== undefined) throw denied()
    throw challenge(isEncrypted || config.allowPlainChallenge, config.name)
  }

  async #isPublic(upstream: Upstream, place: Place, asked: Asked): Promise<Verdict> {
    const question = async () => {
      const publicAt = await this.#options.catalog.getPublicAt(place)
      const age = publicAt === undefined ? Infinity : this.#options.now() - publicAt
      // Shown before this process began.
      if (age >= 0 && age < GRANT_MS && !this.#verdicts.knows(place, ANONYMOUS)) return 'granted'
      const verdict = await prove(upstream, place, asked, ANONYMOUS)
      if (verdict === 'granted') await this.#learnPublic(place)
      else if (publicAt !== undefined) await this.#options.catalog.putPublicAt(place, undefined)
      return verdict
    }
    return this.#verdicts.ask(place, ANONYMOUS, question, LIFETIMES)
  }

  async #learnPublic(place: Place): Promise<void> {
    this.#verdicts.put(place, ANONYMOUS, 'granted', GRANT_MS)
    await this.#options.catalog.putPublicAt(place, this.#options.now()).catch(() => {
      // A disk that refuses is told of by those who store more; here it costs a question later.
    })
  }
}

const LARDER: Identity = { kind: 'larder' }
const ANONYMOUS: Identity = { kind: 'anonymous' }
const LIFETIMES = { granted: GRANT_MS, refused: REFUSAL_MS } as const

function denied(): RegistryError {
  return new RegistryError('DENIED')
}

/** A challenge makes clients send their secret, so it is made only where nobody else can read it. */
function challenge(isAllowed: boolean, realm: string): RegistryError {
  if (!isAllowed) return denied()
  const headers = { 'WWW-Authenticate': `Basic realm="${realm}", charset="UTF-8"` }
  return new RegistryError('UNAUTHORIZED', { headers })
}
