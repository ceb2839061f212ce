import { setImmediate } from 'node:timers/promises'

import type { Logger } from '../log.ts'
import type { Digest } from '../oci/digest.ts'
import { formatPlatform } from '../oci/platform.ts'
import type { Tag } from '../oci/reference.ts'
import type { SqliteCatalog } from './catalog.ts'
import type { FailAt } from './failpoints.ts'
import {
  checkOwner,
  InvalidPinError,
  isSelected,
  MANUAL,
  MAX_PATTERN_LENGTH,
  NotHereError,
  nameOf,
  type PatternPin,
  type PatternRequest,
  type Pin,
  type PinRequest,
  type PinSelector,
  type ReferencePin,
  type ReferenceRequest,
} from './pin.ts'
import { placeOf } from './pin-content.ts'
import { PinFiles } from './pin-files.ts'
import { PinFollower } from './pin-follower.ts'
import { PinIndex } from './pin-index.ts'
import { PinKeeper } from './pin-keeper.ts'
import { lostOf } from './pin-losses.ts'
import { restorePins } from './pin-restore.ts'
import { alignRows } from './pin-rows.ts'
import { PinSurvey, type PinTotals } from './pin-survey.ts'
import type { BlobStore, Place } from './ports.ts'
import type { Unlinking } from './unlinking.ts'

export interface PinsOptions {
  /** The data directory. The caller holds its lock. */
  readonly path: string
  readonly catalog: SqliteCatalog
  readonly blobs: Pick<BlobStore, 'stat' | 'open' | 'read'>
  readonly unlinking: Pick<Unlinking, 'end'>
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Epoch milliseconds of Larder's own clock: a pin expires by it. */
  readonly now: () => number
  readonly failAt?: FailAt | undefined
}

/** How many pinned references have everything in the store. */
export type Completeness = Omit<PinTotals, 'pinnedBytes'>

const TAG_PAGE = 256

/**
 * What eviction must leave alone. Files under `pins/` are the truth; rows of the catalog are their
 * index. A pin is written file first, then row, and goes in the same order.
 */
export class Pins {
  /**
   * Settles when the catalog has back what it lacked of the pins. Never rejects: a failure is logged,
   * and the next start tries again.
   */
  readonly settled: Promise<void>
  readonly #options: PinsOptions
  readonly #index: PinIndex
  readonly #keeper: PinKeeper
  readonly #follower: PinFollower
  readonly #survey: PinSurvey
  #queue: Promise<unknown> = Promise.resolve()
  #isRestored = false
  #isClosing = false

  /** @throws {DataDirectoryError} when the folders cannot be made */
  static async open(options: PinsOptions): Promise<Pins> {
    const files = await PinFiles.open(options)
    const { pins, damaged } = await files.load()
    const index = new PinIndex(options.now)
    for (const pin of pins) index.put(pin)
    return new Pins(options, files, index, await alignRows(options, files, index, damaged))
  }

  private constructor(
    options: PinsOptions,
    files: PinFiles,
    index: PinIndex,
    lost: readonly ReferencePin[],
  ) {
    this.#options = options
    this.#index = index
    this.#keeper = new PinKeeper({ ...options, files, index })
    this.#follower = new PinFollower({ ...options, index, keeper: this.#keeper })
    this.#survey = new PinSurvey({
      catalog: options.catalog,
      blobs: options.blobs,
      references: () => this.#references(),
      onError: (error) => this.#failed(error),
      now: options.now,
    })
    this.settled = this.#settle(lost)
  }

  /**
   * Durable when it resolves. To pin the same for the same owner again replaces the pin.
   *
   * @throws {NotHereError} of what is not in the store
   * @throws {InvalidPinError} of an owner, a pattern or an expiry that cannot be
   */
  async pin(request: PinRequest): Promise<Pin> {
    await this.settled
    if (!('pattern' in request)) return this.#enqueue(() => this.#pinReference(request))
    const pin = await this.#enqueue(() => this.#pinPattern(request))
    await this.#catchUp()
    return pin
  }

  /**
   * Durable when it resolves.
   *
   * @param selector at least one of its fields
   * @returns those that are no longer
   */
  async unpin(selector: PinSelector): Promise<readonly Pin[]> {
    if (Object.values(selector).every((value) => value === undefined)) {
      throw new InvalidPinError('nothing says which pins are meant')
    }
    return this.#enqueue(async () => {
      const pins = this.#listed().filter((pin) => isSelected(pin, selector))
      await this.#keeper.remove(pins)
      return pins
    })
  }

  /**
   * Of content that is to go all the same, whoever has pinned it: also what patterns have matched,
   * which is not listed. The patterns stay, for what comes. Durable when it resolves.
   */
  async release(isMeant: (pin: ReferencePin) => boolean): Promise<void> {
    await this.#enqueue(async () => {
      const isReference = (pin: Pin) => pin.kind !== 'pattern'
      await this.#keeper.remove(this.#index.all().filter(isReference).filter(isMeant))
    })
  }

  /** Those in force. What a pattern has matched is not listed beside it. */
  list(): readonly Pin[] {
    return this.#listed().filter((pin) => !this.#index.isExpired(pin))
  }

  /** Whether eviction must leave it alone, with all that it lists. */
  isProtected(digest: Digest): boolean {
    return (
      this.#keeper.isHeld(digest) || this.#index.isProtected(digest, this.#options.catalog.pins)
    )
  }

  /**
   * To be told of each tag that was seen for the first time, or to mean another digest, once that
   * manifest is in the store. Does nothing at once where no pin is concerned.
   */
  async moved(place: Place, tag: Tag, digest: Digest): Promise<void> {
    if (!this.#follower.isBehind(place, tag, digest)) return
    await this.#enqueue(() => this.#follower.follow(place, tag, digest))
  }

  /** Removes what has expired; says how many. Until then it protects nothing any more. */
  async expire(): Promise<number> {
    return this.#enqueue(async () => {
      const expired = this.#listed().filter((pin) => this.#index.isExpired(pin))
      await this.#keeper.remove(expired)
      return expired.length
    })
  }

  /**
   * Writes into the files what the catalog has learned since they were written: what became public
   * or private, new signatures, whose bytes are whose. Says how many files changed.
   */
  async renew(): Promise<number> {
    await this.settled
    if (!this.#isRestored) return 0
    await this.#catchUp()
    let renewed = 0
    for (const pin of this.#index.all()) {
      if (this.#isEnding()) break
      if (pin.kind !== 'pattern' && (await this.#enqueue(() => this.#keeper.renew(pin)))) renewed++
      await setImmediate()
    }
    return renewed
  }

  /** Of everything in the store that pins protect, each content once. */
  async pinnedBytes(): Promise<number> {
    return (await this.totals()).pinnedBytes
  }

  async completeness(): Promise<Completeness> {
    const { pinnedBytes: _, ...completeness } = await this.totals()
    return completeness
  }

  /** As of now. */
  totals(): Promise<PinTotals> {
    return this.#survey.take()
  }

  /** What was here of what pins keep and is not any more, each content once. */
  lost(): AsyncIterable<Digest> {
    const all = this.#index.all().filter((pin) => pin.kind !== 'pattern')
    const inForce = all.filter((pin) => !this.#index.isExpired(pin))
    return lostOf(this.#options.catalog, inForce)
  }

  /** For metrics: of the last minute, or of now if nobody has asked yet. */
  readings(): Promise<PinTotals> {
    return this.#survey.last()
  }

  /** Ends what goes on behind everybody's back. The catalog is still open. */
  async close(): Promise<void> {
    this.#isClosing = true
    await this.settled
    await this.#queue
    await this.#survey.close()
  }

  async #settle(lost: readonly ReferencePin[]): Promise<void> {
    const { catalog, blobs, logger, now } = this.#options
    try {
      const isKept = (pin: ReferencePin) => this.#index.has(pin) && !this.#index.isExpired(pin)
      const isEnding = () => this.#isEnding()
      const restored = await restorePins({ catalog, blobs, pins: lost, isKept, isEnding, now })
      if (restored > 0) logger.info({ restored }, 'pins restored from their files')
      await this.#catchUp()
      this.#isRestored = !this.#isEnding()
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    if (this.#isEnding()) return
    const reason = error instanceof Error ? error.message : String(error)
    this.#options.logger.warn({ reason }, 'the database may lack what pins keep')
  }

  async #pinReference(request: ReferenceRequest): Promise<ReferencePin> {
    const { place, reference, follows = false, platforms = 'all' } = request
    const isTag = reference.kind === 'tag'
    const text = isTag ? reference.tag : reference.digest
    const kept = this.#keptOf(request)
    const record = isTag ? await this.#options.catalog.getTag(place, reference.tag) : undefined
    const digest = isTag ? record?.digest : reference.digest
    const checkedAt = record?.checkedAt ?? kept.createdAt
    const pin = await this.#keeper.keepDigest(place, digest, (content) => ({
      ...kept,
      ...content,
      kind: reference.kind,
      reference: text,
      checkedAt,
      follows: follows && isTag,
      ...(platforms === 'all' ? {} : { platforms: platforms.map(formatPlatform) }),
    }))
    if (pin === undefined) throw new NotHereError(nameOf(place, text))
    return pin
  }

  async #pinPattern(request: PatternRequest): Promise<PatternPin> {
    const { pattern } = request
    if (pattern === '' || pattern.length > MAX_PATTERN_LENGTH) {
      throw new InvalidPinError(`a pattern has 1 to ${MAX_PATTERN_LENGTH} characters`)
    }
    const pin = { kind: 'pattern', pattern, ...this.#keptOf(request) } as const
    await this.#keeper.keep(pin)
    return pin
  }

  #keptOf({ owner = MANUAL, expiresAt }: PinRequest) {
    const createdAt = this.#options.now()
    if (expiresAt !== undefined && expiresAt <= createdAt) {
      throw new InvalidPinError('a pin cannot expire in the past')
    }
    return { owner: checkOwner(owner), createdAt, expiresAt }
  }

  #listed(): readonly Pin[] {
    return this.#index.all().filter((pin) => this.#index.patternOf(pin) === undefined)
  }

  /** Tags that were seen, or moved, while nobody told us: patterns of today, a run that was killed. */
  async #catchUp(): Promise<void> {
    const { pins } = this.#options.catalog
    const isFollower = (pin: Pin) => pin.kind === 'pattern' || pin.follows
    if (!this.#index.all().some(isFollower)) return
    let after = { repositoryId: 0, tag: '' }
    while (!this.#isEnding()) {
      const page = pins.pageTags(after, TAG_PAGE)
      for (const one of page) await this.moved(placeOf(one), one.tag, one.digest)
      const last = page.at(-1)
      if (last === undefined) return
      after = last
      await setImmediate()
    }
  }

  /** What two owners keep is one, unless they mean other platforms. */
  #references(): readonly ReferencePin[] {
    const references = new Map<string, ReferencePin>()
    for (const pin of this.#index.all()) {
      if (pin.kind === 'pattern' || this.#index.isExpired(pin)) continue
      const { reference, digest, platforms = [] } = pin
      references.set(`${nameOf(pin, reference)} ${digest} ${platforms.join()}`, pin)
    }
    return [...references.values()]
  }

  #isEnding(): boolean {
    return this.#isClosing || !this.#options.catalog.isOpen
  }

  /** One change after the other: two that meet in a file or a folder would undo each other. */
  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work)
    this.#queue = done.catch(() => {})
    return done
  }
}
