import { LRUCache } from 'lru-cache'

import { RegistryError } from '../oci/errors.ts'
import { isOutage, toRegistryError } from '../pull/failures.ts'
import { TagPolicies } from '../pull/freshness.ts'
import { keyPrefix, type Outcome } from '../pull/pull.ts'
import type { Restoration } from '../pull/restoration.ts'
import type { Catalog, Place } from '../store/ports.ts'
import { UpstreamError } from '../upstream/errors.ts'
import type { CallerIdentity, Identity } from '../upstream/ports.ts'
import type { Upstream } from '../upstream/routing.ts'
import { Attempts } from './attempts.ts'
import { type AuthFailure, type Caller, mayChallenge } from './caller.ts'
import { challenge } from './challenge.ts'
import { type Asked, prove, type Verdict } from './proof.ts'
import { type Shown, Verdicts } from './verdicts.ts'

/** A right that was shown is good for this long, and so is a repository's being public. */
const GRANT_MS = 5 * 60_000
const REFUSAL_MS = 30_000
/** How long the public of a registry that cannot be asked is served before it is asked again. */
const OUTAGE_MS = 10_000
/** How long a pull of what was public waits to be told whether it still is. */
const PATIENCE_MS = 1_000
/** Wrong credentials from one address. Each costs the registry a question, in Larder's name. */
const REFUSALS_PER_MINUTE = 300
const MAX_UNTOUCHED = 10_000

export interface GateOptions {
  readonly catalog: Pick<Catalog, 'getPublicAt' | 'putPublicAt' | 'hasPlace'>
  readonly restoration: Restoration
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly onFailure: (kind: AuthFailure) => void
  /** How long what was public waits to be told whether it still is, in milliseconds; default 1 s. */
  readonly patienceMs?: number
}

/**
 * The one gate before every byte: hits, misses, flights joined, HEAD and Range alike. It says as
 * whom the registry may be asked for this caller, or refuses. What it finds is remembered for a
 * bounded time; a credential is remembered only as its HMAC.
 */
export class Gate {
  readonly #options: GateOptions
  readonly #verdicts: Verdicts
  readonly #attempts: Attempts
  readonly #policies = new TagPolicies()
  /** Until when places of which nothing was here are taken to be so. */
  readonly #untouched = new LRUCache<string, number>({ max: MAX_UNTOUCHED })
  /** Whether what was shown before this process began still counts. */
  #mayTrustWritten = true

  constructor(options: GateOptions) {
    const { monotonic } = options
    this.#options = options
    this.#verdicts = new Verdicts(monotonic)
    this.#attempts = new Attempts({ perMinute: REFUSALS_PER_MINUTE, monotonic })
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

  /**
   * The registry has just given something of `place` to `as`. What anyone was given is public; a
   * caller's right is not prolonged by its use, or a token would outlive the secret it was made of.
   */
  proved(upstream: Upstream, place: Place, as: Identity, { result }: Outcome): void {
    if (result !== 'miss' && result !== 'revalidated') return
    if (isAnyone(upstream, as)) this.#learnPublic(place)
  }

  /** Rights may have changed. */
  forget(): void {
    this.#verdicts.clear()
    this.#untouched.clear()
    this.#mayTrustWritten = false
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
    // What is fetched without an account is fetched as anyone can.
    if (!hasAccount(upstream) && (await this.#isUntouched(place))) return LARDER
    if ((await this.#isPublic(upstream, place, asked)) === 'granted') return LARDER
    throw denied()
  }

  /**
   * Nothing of it was here a short while ago, and nobody was told that it is not public: so whatever
   * is here now has been fetched since, under the access that is configured now.
   */
  async #isUntouched(place: Place): Promise<boolean> {
    const { catalog, restoration, monotonic } = this.#options
    const key = keyPrefix(place)
    if (monotonic() < (this.#untouched.get(key) ?? Number.NEGATIVE_INFINITY)) return true
    const isKnown = await restoration.ask(
      () => catalog.hasPlace(place),
      (isThere) => !isThere,
    )
    if (isKnown || this.#verdicts.knows(place, ANONYMOUS)) return false
    this.#untouched.set(key, monotonic() + GRANT_MS)
    return true
  }

  /** A caller's own right first: whoever sends a secret mostly asks for what needs one. */
  async #admitCaller(
    caller: Caller,
    upstream: Upstream,
    place: Place,
    asked: Asked,
  ): Promise<Identity> {
    const { credential } = caller
    let outage: unknown
    const unlessOutage = (error: unknown): Verdict => {
      if (!isOutage(error)) throw error
      outage = error
      return 'refused'
    }
    if (credential !== undefined) {
      const verdict = await this.#isGranted(caller, credential, upstream, place, asked).catch(
        unlessOutage,
      )
      if (verdict === 'granted') return credential
    }
    const verdict = await this.#isPublic(upstream, place, asked).catch(unlessOutage)
    if (verdict === 'granted') return ANONYMOUS
    if (credential === undefined && mayChallenge(caller, upstream.config)) {
      throw challenge(upstream.config.name)
    }
    if (outage !== undefined) throw outage
    if (credential !== undefined) this.#options.onFailure('caller')
    throw denied()
  }

  /** An outage proves nothing: then only a proof of not long ago counts, where that is allowed. */
  async #isGranted(
    { address }: Caller,
    credential: CallerIdentity,
    upstream: Upstream,
    place: Place,
    asked: Asked,
  ): Promise<Verdict> {
    const question = () =>
      this.#attempts.make(
        address,
        async () => shown(await prove(upstream, place, asked, credential)),
        ({ verdict }) => verdict === 'refused',
      )
    try {
      return await this.#verdicts.ask(place, credential, question)
    } catch (error) {
      if (error instanceof RegistryError) this.#options.onFailure('limited')
      const { staleGrantMs } = upstream.config
      const stale = this.#verdicts.stale(place, credential, staleGrantMs)
      if (isOutage(error) && stale === 'granted') return stale
      throw error
    }
  }

  /** In an outage what was public when the registry could still be asked is taken to be so still. */
  async #isPublic(upstream: Upstream, place: Place, asked: Asked): Promise<Verdict> {
    const fresh = this.#verdicts.fresh(place, ANONYMOUS)
    if (fresh !== undefined) return fresh
    const { catalog, restoration } = this.#options
    const wasShown = (await restoration.ask(() => catalog.getPublicAt(place))) !== undefined
    if (wasShown && this.#isNeverAsked(upstream, place, asked)) return 'granted'
    const question = () => this.#askIfPublic(upstream, place, asked)
    const verdict = this.#verdicts.ask(place, ANONYMOUS, question).catch((error: unknown) => {
      if (!isOutage(error)) throw error
      if (!wasShown && !isOnlySource(upstream, error)) throw error
      this.#verdicts.put(place, ANONYMOUS, 'granted', OUTAGE_MS)
      return 'granted' as const
    })
    return wasShown ? this.#unlessSlow(verdict) : verdict
  }

  /**
   * A registry that takes its time is as good as one that is down: what is here and was public does
   * not wait for it. Its answer counts for those who come after it.
   */
  async #unlessSlow(verdict: Promise<Verdict>): Promise<Verdict> {
    const slow = Promise.withResolvers<Verdict>()
    const timer = setTimeout(() => slow.resolve('granted'), this.#options.patienceMs ?? PATIENCE_MS)
    try {
      return await Promise.race([verdict, slow.promise])
    } finally {
      clearTimeout(timer)
      verdict.catch(() => undefined)
    }
  }

  #isNeverAsked(upstream: Upstream, { repository }: Place, asked: Asked): boolean {
    if (asked.kind !== 'manifest' || asked.reference.kind !== 'tag') return false
    const rules = this.#policies.of(upstream)
    return rules.for(repository, asked.reference.tag).pullPolicy === 'Never'
  }

  async #askIfPublic(upstream: Upstream, place: Place, asked: Asked): Promise<Shown> {
    const { catalog, now } = this.#options
    const publicAt = await catalog.getPublicAt(place)
    const age = publicAt === undefined ? Number.POSITIVE_INFINITY : now() - publicAt
    const isOfThisProcess = this.#verdicts.knows(place, ANONYMOUS)
    // Shown before this process began.
    if (this.#mayTrustWritten && age >= 0 && age < GRANT_MS && !isOfThisProcess) {
      return { verdict: 'granted', lifetimeMs: GRANT_MS - age }
    }
    const verdict = await prove(upstream, place, asked, ANONYMOUS)
    if (verdict === 'granted') this.#writePublicAt(place, now())
    else if (publicAt !== undefined) this.#writePublicAt(place, undefined)
    return shown(verdict)
  }

  #learnPublic(place: Place): void {
    const wasKnown = this.#verdicts.fresh(place, ANONYMOUS) === 'granted'
    this.#verdicts.put(place, ANONYMOUS, 'granted', GRANT_MS)
    this.#untouched.delete(keyPrefix(place))
    // A write for every blob of an image would be felt, and tell nothing new.
    if (!wasKnown) this.#writePublicAt(place, this.#options.now())
  }

  #writePublicAt(place: Place, at: number | undefined): void {
    this.#options.catalog.putPublicAt(place, at).catch(() => {
      // A disk that refuses is told of by those who store more; here it costs a question later.
    })
  }
}

const LARDER: Identity = { kind: 'larder' }
const ANONYMOUS: Identity = { kind: 'anonymous' }

function hasAccount({ config }: Upstream): boolean {
  return config.credentials.length > 0
}

/** As whom Larder asks where it has no account is as good as nobody in particular. */
function isAnyone(upstream: Upstream, as: Identity): boolean {
  if (upstream.config.access === 'shared') return false
  return as.kind === 'anonymous' || (as.kind === 'larder' && !hasAccount(upstream))
}

/**
 * A site that is offline can ask nobody, ever. Without an account its operator's word that the
 * upstream is public is all there is, and whatever was brought there is not private to anybody.
 */
function isOnlySource(upstream: Upstream, error: unknown): boolean {
  const isOffline = error instanceof UpstreamError && error.kind === 'offline'
  return isOffline && upstream.config.access === 'public' && !hasAccount(upstream)
}

function shown(verdict: Verdict): Shown {
  return { verdict, lifetimeMs: verdict === 'granted' ? GRANT_MS : REFUSAL_MS }
}

function denied(): RegistryError {
  return new RegistryError('DENIED')
}
