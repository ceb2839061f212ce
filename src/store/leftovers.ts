import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { FileBlobs, Part, Quarantined, StoredFile } from './blobs.ts'
import type { ListPosition, RememberedRows } from './catalog/remembered.ts'
import type { RetentionRows } from './catalog/retention.ts'
import type { Leases } from './leases.ts'
import type { Quota } from './quota.ts'
import { Slices } from './slices.ts'
import type { Unlinking } from './unlinking.ts'

export interface LeftoversOptions {
  readonly blobs: FileBlobs
  readonly retention: Pick<RetentionRows, 'blob'>
  readonly remembered: RememberedRows
  readonly quota: Quota
  readonly leases: Pick<Leases, 'has'>
  readonly unlinking: Pick<Unlinking, 'add'>
  /** Epoch milliseconds of the files' own clock: it is compared with their times. */
  readonly now: () => number
}

const DAY_MS = 24 * 3_600_000
/** A registry that failed for a day will be asked from the start. */
export const STALE_PART_MS = DAY_MS
/** Long enough for somebody to look at damaged bytes. */
const QUARANTINE_MS = 30 * DAY_MS
const MAX_QUARANTINE_BYTES = 1024 ** 3
const MAX_QUARANTINE_SHARE = 0.05
const MAX_QUARANTINE_FILES = 1000
/** What a tag has pointed at, beyond which nobody looks back. */
const MAX_MOVES = 100
/** How long it is remembered where a tag has pointed that is not known any more. */
const GONE_TAG_MS = 30 * DAY_MS
/** Registries' lists, for an outage. */
const MAX_LISTS = 10_000
const MAX_LIST_BYTES = 64 * 1024 ** 2
const PAGE = 128

/** What is left of downloads, damage, moves and questions, each with its bound. */
export class Leftovers {
  readonly #options: LeftoversOptions

  constructor(options: LeftoversOptions) {
    this.#options = options
  }

  /** Parts that nobody has written to for a day, that hold nothing, or whose content came by another way. */
  async staleParts(): Promise<readonly Part[]> {
    const { blobs, leases, now } = this.#options
    const before = now() - STALE_PART_MS
    const stale: Part[] = []
    for (const part of await blobs.listParts()) {
      const isWorthless = part.size === 0 || part.modifiedAt < before
      const isDone = isWorthless || (await this.#isWhole(part.digest))
      if (isDone && !leases.has(part.digest)) stale.push(part)
    }
    return stale
  }

  async #isWhole(digest: Digest): Promise<boolean> {
    const { blobs, retention } = this.#options
    return retention.blob(digest) !== undefined && (await blobs.stat(digest)) !== undefined
  }

  async removePart({ digest }: Part): Promise<void> {
    const { blobs, leases, quota } = this.#options
    // A download may have begun to go on with it since it was listed.
    if (leases.has(digest)) return
    await this.#unlinked(digest, blobs.deletePart(digest))
    if (!leases.has(digest)) quota.release(digest)
  }

  /** Damaged content that is too old or too much: the oldest go first. */
  async surplusQuarantine(): Promise<readonly Quarantined[]> {
    const { blobs, quota, now } = this.#options
    const all = await blobs.listQuarantined()
    const before = now() - QUARANTINE_MS
    const most = Math.min(MAX_QUARANTINE_BYTES, quota.maxBytes * MAX_QUARANTINE_SHARE)
    let bytes = all.reduce((sum, { size }) => sum + size, 0)
    let files = all.length
    return all.filter(({ size, at }) => {
      const isSurplus = at < before || bytes > most || files > MAX_QUARANTINE_FILES
      if (!isSurplus) return false
      bytes -= size
      files--
      return true
    })
  }

  async removeQuarantined(one: Quarantined): Promise<void> {
    await this.#options.blobs.deleteQuarantined(one)
    this.#options.quota.freed(one.size)
  }

  /** Files that have had no row for a day: the catalog takes them up when it opens, or never. */
  async *strays(): AsyncGenerator<StoredFile> {
    const { blobs, retention, leases, now } = this.#options
    const slices = new Slices()
    const before = now() - DAY_MS
    for await (const file of blobs.scan()) {
      await slices.rest()
      if (file.modifiedAt >= before || leases.has(file.digest)) continue
      if (retention.blob(file.digest) === undefined) yield file
    }
  }

  async removeStray({ digest, size }: StoredFile): Promise<void> {
    const { blobs, retention, leases, quota } = this.#options
    if (retention.blob(digest) !== undefined || leases.has(digest)) return
    await this.#unlinked(digest, blobs.delete(digest))
    quota.gone(digest, size)
  }

  async #unlinked(digest: Digest, gone: Promise<void>): Promise<void> {
    this.#options.unlinking.add(digest, gone)
    await gone
  }

  /** Of each tag the newest moves stay; of one that is gone, what is still here. */
  async shortenHistories(): Promise<void> {
    const { remembered, now } = this.#options
    const slices = new Slices()
    for (let after = { repositoryId: -1, tag: '' as Tag }; ; ) {
      const page = remembered.pageHistories(after, PAGE)
      for (const { repositoryId, tag, moves, isHere } of page) {
        if (moves > MAX_MOVES) remembered.shortenHistory(repositoryId, tag, MAX_MOVES)
        if (isHere === 0) remembered.forgetHistory(repositoryId, tag, now() - GONE_TAG_MS)
        await slices.rest()
      }
      const last = page.at(-1)
      if (last === undefined) return
      after = last
      await slices.end()
    }
  }

  /** The newest stay: anybody may ask for lists of what never was. */
  async forgetLists(): Promise<void> {
    const { remembered } = this.#options
    const surplus = await this.#surplusList()
    if (surplus === undefined) return
    const slices = new Slices()
    while (remembered.forgetLists(surplus, PAGE) === PAGE) await slices.end()
  }

  /** The newest that is too much, with all that are older. */
  async #surplusList(): Promise<ListPosition | undefined> {
    const slices = new Slices()
    let lists = 0
    let bytes = 0
    for (let before: ListPosition = { checkedAt: Number.MAX_SAFE_INTEGER, id: 0 }; ; ) {
      const page = this.#options.remembered.pageLists(before, PAGE)
      for (const list of page) {
        bytes += list.size
        if (++lists > MAX_LISTS || bytes > MAX_LIST_BYTES) return list
        before = list
      }
      if (page.length === 0) return undefined
      await slices.rest()
    }
  }
}
