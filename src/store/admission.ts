import { setTimeout as sleep } from 'node:timers/promises'

import type { Digest } from '../oci/digest.ts'
import { NoRoomError } from './errors.ts'
import type { Eviction } from './eviction.ts'
import type { Quota } from './quota.ts'
import { Turns } from './turns.ts'

export interface AdmissionOptions {
  readonly quota: Quota
  readonly eviction: Pick<Eviction, 'gain' | 'preview' | 'reduce'>
  /** Until it settles it is not known what is here and what belongs together: nothing is admitted. */
  readonly ready: Promise<unknown>
  readonly onError: (error: unknown) => void
  /** Milliseconds of a clock that never jumps; default: that of the system. */
  readonly elapsed?: () => number
}

/** So long after the start what is to be stored waits for that; later it passes through. */
const STARTING_MS = 2_000
/** Others may take the room that was made before it is claimed. */
const MAX_ATTEMPTS = 3
/** Each brings the inodes of one image. */
const MAX_INODE_ATTEMPTS = 32
/** How long it is remembered that no room could be made. */
const HOPELESS_MS = 10_000
/** What a content of unknown size may take of the whole, before it is known to fit at all. */
const MAX_UNKNOWN_SHARE = 0.5

/** Nothing is stored before there is room for it, made if need be of what was not used for longest. */
export class Admission {
  readonly #options: AdmissionOptions
  readonly #elapsed: () => number
  readonly #turns = new Turns()
  readonly #started: Promise<unknown>
  #isReady = false
  /** So much could not be gained when it was last tried. */
  #hopeless: { readonly bytes: number; readonly endsAt: number } | undefined
  #trimming: Promise<void> | undefined
  /** Looks whether there is anything to trim, one after the other. */
  #relieving: Promise<void> = Promise.resolve()

  constructor(options: AdmissionOptions) {
    this.#options = options
    this.#elapsed = options.elapsed ?? (() => performance.now())
    const becomeReady = () => {
      this.#isReady = true
    }
    const ready = options.ready.then(becomeReady, becomeReady)
    this.#started = Promise.race([ready, sleep(STARTING_MS, undefined, { ref: false })])
  }

  /**
   * From now on `digest` may take `bytes` in all. It removes no more than is needed, and nothing at
   * all when that would not be enough.
   *
   * @throws {NoRoomError}
   */
  async reserve(digest: Digest, bytes: number): Promise<void> {
    const { quota } = this.#options
    // A crash leaves files that no row counts: with what is admitted now they might exceed the cap.
    await this.#started
    if (!this.#isReady) {
      throw new NoRoomError(bytes, 'starting', 'it is still being found out what is here')
    }
    await quota.refresh()
    const most = quota.mostBytes
    if (bytes > most) {
      throw new NoRoomError(bytes, 'too_large', `the whole cache may take ${most}`)
    }
    if (this.#claim(digest, bytes)) return
    await this.#turns.take(() => this.#makeRoom(digest, bytes))
  }

  /** As {@link reserve}, for a content whose size nobody has said: it may not push everything out. */
  async grow(digest: Digest, bytes: number): Promise<void> {
    await this.#options.quota.refresh()
    const most = Math.floor(this.#options.quota.maxBytes * MAX_UNKNOWN_SHARE)
    if (bytes > most) {
      throw new NoRoomError(bytes, 'unknown_size', `what has no size may take ${most}`)
    }
    await this.reserve(digest, bytes)
  }

  /** Back to the low water mark, if it is above the high one. Never rejects: `onError` is told. */
  relieve(): Promise<void> {
    this.#relieving = this.#relieving.then(() => this.#relieve()).catch(this.#options.onError)
    return this.#relieving
  }

  /**
   * Makes room for `bytes` that nobody claims, if so much may go: the disk was found to be full.
   *
   * @returns whether there is so much room now, or could be
   */
  async makeRoom(bytes: number): Promise<boolean> {
    const { quota, eviction } = this.#options
    this.#hopeless = undefined
    return this.#turns.take(async () => {
      await quota.refresh(true)
      // What may go is not known yet: there is room, or there is none.
      if (!this.#isReady) return quota.lacking(bytes) === 0
      if (!(await this.#canFreeInodes())) return false
      for (let left = this.#maxAttempts; ; left--) {
        const lacking = quota.lacking(bytes)
        if (lacking === 0) return true
        if (left === 0 || (await eviction.gain(lacking)) === undefined) return false
        await quota.refresh(true)
      }
    })
  }

  /** Whether so much would get its room. Removes nothing. */
  async mayFit(bytes: number): Promise<boolean> {
    const { quota, eviction } = this.#options
    await quota.refresh()
    const lacking = quota.lacking(bytes)
    if (lacking === 0) return true
    const { plan } = await eviction.preview({ bytes: lacking })
    return plan.bytes >= lacking
  }

  /** Settles when nothing is being made room for. */
  async idle(): Promise<void> {
    await this.#turns.take(async () => {})
    await this.#relieving
    await this.#trimming
  }

  async #relieve(): Promise<void> {
    await this.#options.quota.refresh()
    if (this.#isReady && this.#options.quota.lacking(0) > 0) await this.#trim()
  }

  async #makeRoom(digest: Digest, bytes: number): Promise<void> {
    const { quota, eviction } = this.#options
    const maxAttempts = this.#maxAttempts
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      await quota.refresh()
      if (this.#claim(digest, bytes)) {
        if (attempt > 0) void this.#trim()
        return
      }
      const lacking = quota.lacking(bytes - quota.claimOf(digest))
      if (this.#isHopeless(lacking)) break
      if (attempt > 0 || (await this.#canFreeInodes())) {
        if ((await eviction.gain(lacking)) !== undefined) continue
      }
      this.#hopeless = { bytes: lacking, endsAt: this.#elapsed() + HOPELESS_MS }
      break
    }
    const why = quota.missingInodes > 0 ? 'no_inodes' : 'no_room'
    throw new NoRoomError(bytes, why, 'what is here is pinned, in use or too little')
  }

  /** How many inodes an image has is known once they are free. */
  get #maxAttempts(): number {
    return this.#options.quota.missingInodes > 0 ? MAX_INODE_ATTEMPTS : MAX_ATTEMPTS
  }

  /** Every image has one at least. */
  async #canFreeInodes(): Promise<boolean> {
    const { quota, eviction } = this.#options
    const missing = quota.missingInodes
    if (missing <= 1) return true
    const { plan } = await eviction.preview({})
    return plan.leaving.filter(({ size }) => size !== undefined).length >= missing
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
