import type { Digest } from '../oci/digest.ts'
import { NoRoomError } from './errors.ts'
import type { Eviction } from './eviction.ts'
import type { Quota } from './quota.ts'
import { Turns } from './turns.ts'

export interface AdmissionOptions {
  readonly quota: Quota
  readonly eviction: Pick<Eviction, 'gain' | 'reduce'>
  /** Until it settles it is not known what belongs together, so nothing is removed. */
  readonly ready: Promise<unknown>
  readonly onError: (error: unknown) => void
  /** Milliseconds of a clock that never jumps; default: that of the system. */
  readonly elapsed?: () => number
}

/** Others may take the room that was made before it is claimed. */
const MAX_ATTEMPTS = 3
/** How long it is remembered that no room could be made. */
const HOPELESS_MS = 10_000
/** What a content of unknown size may take of the whole, before it is known to fit at all. */
const MAX_UNKNOWN_SHARE = 0.5

/** Nothing is stored before there is room for it, made if need be of what was not used for longest. */
export class Admission {
  readonly #options: AdmissionOptions
  readonly #elapsed: () => number
  readonly #turns = new Turns()
  #isReady = false
  /** So much could not be gained when it was last tried. */
  #hopeless: { readonly bytes: number; readonly endsAt: number } | undefined
  #trimming: Promise<void> | undefined

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#elapsed = options.elapsed ?? (() => performance.now())
    const becomeReady = () => {
      this.#isReady = true
    }
    options.ready.then(becomeReady, becomeReady)
  }

  /**
   * From now on `digest` may take `bytes` in all. It removes no more than is needed, and nothing at
   * all when that would not be enough.
   *
   * @throws {NoRoomError}
   */
  async reserve(digest: Digest, bytes: number): Promise<void> {
    const { quota } = this.#options
    await quota.refresh()
    if (bytes > quota.maxBytes) {
      throw new NoRoomError(bytes, `the whole cache may take ${quota.maxBytes}`)
    }
    if (this.#claim(digest, bytes)) return
    await this.#turns.take(() => this.#makeRoom(digest, bytes))
  }

  /** As {@link reserve}, for a content whose size nobody has said: it may not push everything out. */
  async grow(digest: Digest, bytes: number): Promise<void> {
    await this.#options.quota.refresh()
    const most = Math.floor(this.#options.quota.maxBytes * MAX_UNKNOWN_SHARE)
    if (bytes > most) throw new NoRoomError(bytes, `what has no size may take ${most}`)
    await this.reserve(digest, bytes)
  }

  /** Back to the low water mark, if it is above the high one. Never rejects: `onError` is told. */
  async relieve(): Promise<void> {
    await this.#options.quota.refresh()
    if (this.#isReady && this.#options.quota.lacking(0) > 0) await this.#trim()
  }

  /** Settles when nothing is being made room for. */
  async idle(): Promise<void> {
    await this.#turns.take(async () => {})
    await this.#trimming
  }

  async #makeRoom(digest: Digest, bytes: number): Promise<void> {
    const { quota, eviction } = this.#options
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      await quota.refresh()
      if (this.#claim(digest, bytes)) {
        if (attempt > 0) void this.#trim()
        return
      }
      const lacking = quota.lacking(bytes - quota.claimOf(digest))
      if (!this.#isReady) throw new NoRoomError(bytes, 'it is still being found out what is here')
      if (this.#isHopeless(lacking)) break
      if ((await eviction.gain(lacking)) !== undefined) continue
      this.#hopeless = { bytes: lacking, endsAt: this.#elapsed() + HOPELESS_MS }
      break
    }
    throw new NoRoomError(bytes, 'what is here is pinned, in use or too little')
  }

  #claim(digest: Digest, bytes: number): boolean {
    const { quota } = this.#options
    if (quota.lacking(Math.max(0, bytes - quota.claimOf(digest))) > 0) return false
    quota.claim(digest, bytes)
    return true
  }

  #isHopeless(lacking: number): boolean {
    if (this.#hopeless === undefined) return false
    return lacking >= this.#hopeless.bytes && this.#elapsed() < this.#hopeless.endsAt
  }

  #trim(): Promise<void> {
    this.#trimming ??= this.#reduce()
      .catch(this.#options.onError)
      .finally(() => {
        this.#trimming = undefined
      })
    return this.#trimming
  }

  async #reduce(): Promise<void> {
    const { quota, eviction } = this.#options
    const wanted = quota.aboveLowWater()
    if (wanted <= 0 || (await eviction.gain(wanted)) !== undefined) return
    // Others have filled the disk: to remove everything would not help. The cap holds all the same.
    const overFull = quota.aboveCap()
    if (overFull > 0) await eviction.reduce(overFull)
  }
}
