import assert from 'node:assert/strict'
import picomatch from 'picomatch'

import type { Digest } from '../../src/oci/digest.ts'
import type { Disk } from './disk.ts'
import { DAY, HOUR, POLICIES, type Site } from './site.ts'
import type { Universe } from './universe.ts'

/** What a tag has meant at the registry; times are those of the monotonic clock. */
interface Meaning {
  readonly digest: Digest | undefined
  to: number
}

export interface PinModel {
  readonly kind: 'tag' | 'digest' | 'pattern'
  /** As the admin API is told. */
  readonly name: string
  readonly repository: string
  readonly tag: string
  /** What is kept; `undefined`: it is not certain. */
  digest: Digest | undefined
  readonly follow: boolean
  /** From this time of Larder's line on it may have ended. */
  readonly endsAt: number
  /** What of it will still belong to its repository when the database is lost. */
  readonly proven: ReadonlySet<Digest>
}

/** How far the line of time may be pulled ahead by one jump of the wall clock. */
const MAX_LEAP_MS = 30 * DAY
/** Stored bytes are hashed when they are sent if their last check is older. */
const CHECKED_MS = 7 * DAY
const STALE_MS = 7 * DAY
/** What the machine takes for what it is told. */
const SLACK_MS = 10_000

/** What must hold of Larder, by what was done to it. It knows the registry; it guesses nothing of inside. */
export class Expectations {
  readonly universe: Universe
  readonly #site: Site
  readonly #history = new Map<string, Meaning[]>()
  /** What was served where, and is stored: it needs no registry any more. */
  readonly #proven = new Map<string, Set<Digest>>()
  /** What a tag was served as, and since when at the latest that is known. */
  readonly #served = new Map<string, { digest: Digest; at: number }>()
  /** What the registry lacked a short while ago: a 404 is remembered. */
  readonly #lacked = new Set<string>()
  /** Files that the story has damaged, and when a byte of them was flipped. */
  readonly #hurt = new Map<Digest, { readonly how: string; at: number }>()
  #pins: PinModel[] = []
  /** Stored, right, and kept by a pin. */
  #kept = new Set<Digest>()
  #leapMs = 0
  #wasSetAhead = false
  #isTimeLost = false
  /** Any clock, since the last start. */
  #wasMoved = false
  #policy: number
  #untagged = new Set<string>()
  /** The store may refuse. */
  mayRefuse = false
  wasCapLowered = false
  wasRefused = false
  isAmple: boolean
  maxBytes: number

  constructor(site: Site, universe: Universe, policy: number, cap: number) {
    this.#site = site
    this.universe = universe
    this.#policy = policy
    this.maxBytes = cap
    this.isAmple = cap > 8 * 1024 * 1024
  }

  get now(): number {
    return this.#site.clock.elapsed()
  }

  /** Larder's own line of time is at most here. */
  get latest(): number {
    return this.now + this.#leapMs
  }

  get isBehind(): boolean {
    return POLICIES[this.#policy]?.refresh === 'background'
  }

  get leapMs(): number {
    return this.#leapMs
  }

  get pins(): readonly PinModel[] {
    return this.#pins
  }

  // What the registry has

  tagged(repository: string, tag: string, digest: Digest | undefined): void {
    const key = `${repository}:${tag}`
    const history = this.#history.get(key) ?? []
    const last = history.at(-1)
    if (last !== undefined) last.to = this.now
    history.push({ digest, to: Number.POSITIVE_INFINITY })
    this.#history.set(key, history)
    if (digest === undefined) {
      this.#untagged.add(key)
    } else if (last === undefined || last.digest === undefined) this.#lacked.add(key)
  }

  current(repository: string, tag: string): Digest | undefined {
    return this.#history.get(`${repository}:${tag}`)?.at(-1)?.digest
  }

  has(repository: string, digest: Digest): boolean {
    const { content } = this.#site.registry
    return (
      content.getBlob(repository, digest) !== undefined ||
      content.getManifest(repository, digest) !== undefined
    )
  }

  lacked(repository: string, reference: string): void {
    this.#lacked.add(`${repository}:${reference}`)
  }

  /** Whether a 404 may be said of it. */
  mayLack(repository: string, digest: Digest): boolean {
    return !this.has(repository, digest) || this.#lacked.has(`${repository}:${digest}`)
  }

  mayLackTag(repository: string, tag: string, since: number): boolean {
    const key = `${repository}:${tag}`
    if (this.#lacked.has(key)) return true
    const history = this.#history.get(key)
    if (history === undefined) return true
    return history.some(({ digest, to }) => digest === undefined && to >= since)
  }

  forgetLacked(): void {
    this.#lacked.clear()
  }

  // I16

  /** A tag was answered with `digest` by a Larder that was asked at `since`. */
  checkTag(repository: string, tag: string, digest: Digest, since: number): void {
    const key = `${repository}:${tag}`
    const meant = (this.#history.get(key) ?? []).filter((one) => one.digest === digest)
    assert.ok(meant.length > 0, `${key} has never been ${digest}`)
    if (!this.#site.isUp) return
    const rule = POLICIES[this.#policy] ?? POLICIES[0]
    const isAlways = rule?.pullPolicy === 'Always'
    if (this.#isTimeLost && !isAlways) return
    // What the registry has said no to may be served for as long as an outage would let it.
    const mayBeStale = this.isBehind || this.mayLackTag(repository, tag, since)
    const maxAgeMs = Math.max(0, rule?.maxAgeMs ?? 0) + (mayBeStale ? STALE_MS : 0)
    const oldest = since - (isAlways ? 0 : maxAgeMs) - SLACK_MS
    assert.ok(
      meant.some(({ to }) => to >= oldest),
      `${key} has not been ${digest} for longer than it may be served`,
    )
  }

  // I10, I11

  servedTag(repository: string, tag: string, digest: Digest, isAlone: boolean): void {
    const key = `${repository}:${tag}`
    for (const pin of this.#pins) {
      if (!pin.follow || `${pin.repository}:${pin.tag}` !== key) continue
      // What is asked for behind an answer may move the pin, also where the answer is as before.
      if (pin.digest === digest && !this.isBehind) continue
      const isSure = isAlone && !this.isBehind && !this.mayRefuse && this.#site.disk.isRight(digest)
      pin.digest = isSure ? digest : undefined
    }
    if (this.mayRefuse) return
    const known = this.#served.get(key)
    const rule = POLICIES[this.#policy]
    const wasAsked = this.#site.isUp && (rule?.pullPolicy === 'Always' || (rule?.maxAgeMs ?? 0) < 0)
    if (!isAlone) this.#served.delete(key)
    else if (known?.digest !== digest || wasAsked) {
      this.#served.set(key, { digest, at: known?.digest === digest ? this.latest : this.now })
    }
  }

  proves(repository: string, digest: Digest): void {
    if (this.mayRefuse) return
    const digests = this.#proven.get(repository) ?? new Set()
    this.#proven.set(repository, digests.add(digest))
  }

  /** It was fetched anew, so that it may have been gone: where else it belongs is not certain. */
  fetched(repository: string, digest: Digest, tag: string | undefined): void {
    for (const [other, digests] of this.#proven) if (other !== repository) digests.delete(digest)
    for (const [key, { digest: served }] of this.#served) {
      if (served === digest && key !== `${repository}:${tag}`) this.#served.delete(key)
    }
  }

  /** Whether it has to be served without a registry. */
  mustServe(repository: string, digest: Digest, isAlone: boolean): boolean {
    if (this.mayRefuse || this.#hurt.has(digest)) return false
    if (this.#proven.get(repository)?.has(digest) !== true) return false
    if (!this.isAmple && !isAlone && !this.#kept.has(digest)) return false
    return this.#site.disk.isRight(digest)
  }

  mustServeTag(repository: string, tag: string, isAlone: boolean): boolean {
    const key = `${repository}:${tag}`
    const served = this.#served.get(key)
    if (served === undefined || this.isBehind || this.#untagged.has(key)) return false
    if (!this.mustServe(repository, served.digest, isAlone)) return false
    if (this.#site.isOffline) return true
    return !this.#isTimeLost && this.latest - served.at < STALE_MS - SLACK_MS
  }

  /** Whether wrong bytes of it may go out: what was checked a short while ago is not hashed again. */
  mayBeWrong(digest: Digest): boolean {
    const hurt = this.#hurt.get(digest)
    if (hurt?.how !== 'flip' || this.universe.manifests.has(digest)) return false
    return this.#isTimeLost || this.now - hurt.at <= CHECKED_MS + SLACK_MS
  }

  /**
   * A file that was cut before the database was lost: nothing tells its size until it is hashed, so
   * only what is served as a whole is certain.
   */
  isSizeUnknown(digest: Digest): boolean {
    const hurt = this.#hurt.get(digest)
    return hurt?.how === 'cut' && hurt.at === Number.NEGATIVE_INFINITY
  }

  isFlipped(digest: Digest): boolean {
    return this.#hurt.get(digest)?.how === 'flip'
  }

  isHurt(digest: Digest): boolean {
    return this.#hurt.has(digest)
  }

  hurt(digest: Digest, how: string): void {
    const flipped = this.#hurt.get(digest)
    this.#kept.delete(digest)
    this.#hurt.set(digest, { how, at: flipped?.at ?? this.now })
  }

  /** A download that goes on with wrong bytes is begun anew, and ends the same. */
  healed(digest: Digest): void {
    this.#hurt.delete(digest)
  }

  // Pins

  pinned(pin: PinModel): void {
    this.unpinned(pin.name)
    this.#pins.push(pin)
  }

  unpinned(name: string): void {
    this.#pins = this.#pins.filter((one) => one.name !== name)
  }

  isInForce({ endsAt }: PinModel): boolean {
    return this.latest < endsAt
  }

  /** What has to be kept for certain. */
  roots(): readonly Digest[] {
    return this.#pins.filter((pin) => this.isInForce(pin)).flatMap((pin) => this.rootsOf(pin))
  }

  rootsOf(pin: PinModel): readonly Digest[] {
    if (pin.kind !== 'pattern') return pin.digest === undefined ? [] : [pin.digest]
    if (this.isBehind) return []
    const isMatch = picomatch(pin.name, { dot: true })
    return [...this.#served]
      .filter(([key]) => isMatch(`docker.io/${key}`))
      .map(([, { digest }]) => digest)
  }

  /** What a pin's file will say of where its content belongs. */
  provenNow(repository: string, root: Digest | undefined): ReadonlySet<Digest> {
    if (root === undefined) return new Set()
    const files = this.#site.disk.files()
    const proven = this.#proven.get(repository)
    const reach = this.universe.reach(root)
    return new Set(reach.filter((digest) => proven?.has(digest) === true || !files.has(digest)))
  }

  purged(repository: string, tag: string, isForced: boolean): void {
    const key = `${repository}:${tag}`
    if (isForced) {
      this.#pins = this.#pins.filter((pin) => `${pin.repository}:${pin.tag}` !== key)
      this.#kept.clear()
      this.#proven.clear()
      this.#served.clear()
      return
    }
    this.#keepOnlyPinned(false)
  }

  // Time

  passed(): void {
    this.#wasMoved = true
    if (this.isBehind) this.#served.clear()
  }

  clockSet(byMs: number): void {
    this.#wasMoved = true
    this.#wasSetAhead ||= byMs > 0
    if (byMs > 0) this.#leapMs += Math.min(byMs, MAX_LEAP_MS)
    if (byMs < 0) this.#wasSetBack = true
  }

  #wasSetBack = false

  setPolicy(policy: number): void {
    if (this.isBehind) this.#served.clear()
    this.#policy = policy
  }

  setCap(cap: number): void {
    this.wasCapLowered ||= cap < this.maxBytes
    this.maxBytes = cap
    this.isAmple = cap > 8 * 1024 * 1024
  }

  restarted(isDatabaseLost: boolean): void {
    this.#lacked.clear()
    this.#wasMoved = false
    if (isDatabaseLost && this.#wasSetAhead) this.#leapMs += MAX_LEAP_MS
    if (isDatabaseLost) this.#isTimeLost ||= this.#wasSetBack
    if (isDatabaseLost || this.mayRefuse) this.#keepOnlyPinned(isDatabaseLost)
    if (this.mayRefuse) for (const pin of this.#pins) if (pin.follow) pin.digest = undefined
    if (isDatabaseLost) {
      // It is no longer known when they were checked, so all are hashed when they are sent.
      for (const one of this.#hurt.values()) one.at = Number.NEGATIVE_INFINITY
    }
    this.mayRefuse = false
  }

  /** No row is lost, but where the line of time was: it is written down once a minute, and no story waits. */
  killed(): void {
    this.#isTimeLost ||= this.#wasMoved
    this.restarted(false)
  }

  /** After something that may have taken rows: what a pin keeps is still known to belong. */
  #keepOnlyPinned(isDatabaseLost: boolean): void {
    const before = new Map(this.#proven)
    this.#proven.clear()
    const served = new Map(this.#served)
    this.#served.clear()
    for (const pin of this.#pins) {
      if (!this.isInForce(pin) || pin.kind === 'pattern' || pin.digest === undefined) continue
      if (pin.follow && this.isBehind) continue
      const digests = this.#proven.get(pin.repository) ?? new Set()
      for (const digest of this.universe.reach(pin.digest)) {
        if (before.get(pin.repository)?.has(digest) !== true) continue
        if (!isDatabaseLost || pin.proven.has(digest)) digests.add(digest)
      }
      this.#proven.set(pin.repository, digests)
      const key = `${pin.repository}:${pin.tag}`
      const known = served.get(key)
      if (known?.digest === pin.digest && !pin.follow) this.#served.set(key, known)
    }
  }

  // Looks

  /** After each step: I2, I11, and that nothing is believed of what is gone. */
  checkDisk(disk: Disk, isFinal: boolean): void {
    const files = disk.files()
    for (const [digest, { isRight }] of files) {
      assert.ok(isRight || this.#hurt.has(digest), `I2: the file of ${digest} has other bytes`)
    }
    const pinned = new Set(this.roots().flatMap((root) => this.universe.reach(root)))
    for (const digest of this.#kept) {
      if (!pinned.has(digest) || this.#hurt.has(digest)) continue
      assert.ok(files.has(digest), `I11: ${digest} is pinned and gone`)
    }
    for (const [digest] of this.#hurt) {
      const file = files.get(digest)
      if ((file === undefined && !disk.parts().has(digest)) || file?.isRight) this.healed(digest)
    }
    this.#kept = new Set([...pinned].filter((digest) => files.get(digest)?.isRight))
    for (const digests of this.#proven.values()) {
      for (const digest of digests) if (!files.has(digest)) digests.delete(digest)
    }
    for (const [key, { digest }] of this.#served) if (!files.has(digest)) this.#served.delete(key)
    if (!this.wasCapLowered && !this.wasRefused && !isFinal) this.#checkCap(disk)
  }

  pinnedBytes(disk: Disk): number {
    const files = disk.files()
    const pinned = new Set(this.roots().flatMap((root) => this.universe.reach(root)))
    return [...pinned].reduce((sum, digest) => sum + (files.get(digest)?.size ?? 0), 0)
  }

  usedBytes(disk: Disk): number {
    let used = 0
    for (const { size } of disk.files().values()) used += size
    for (const size of disk.parts().values()) used += size
    return used
  }

  #checkCap(disk: Disk): void {
    const used = this.usedBytes(disk)
    assert.ok(used <= this.maxBytes, `${used} bytes are stored, and ${this.maxBytes} may be`)
  }
}

export { HOUR }
