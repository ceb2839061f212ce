import { LRUCache } from 'lru-cache'

import { CHUNK_BYTES, ChunkMemory, copyOf } from '../chunk-memory.ts'
import type { Digest } from '../oci/digest.ts'
import { Loans } from './loans.ts'

/** As one comes another goes, so that few are enough. */
const MAX_FREE = 8

/** What a cached chunk costs at least, for the records about it: bounds the number of tiny ones. */
const MIN_COST_BYTES = 1024

export interface ChunkCacheOptions {
  /** 0 keeps nothing. */
  readonly maxBytes: number
  /** Told of each chunk that may be overwritten from now on, before it is. */
  readonly onFreed?: (chunk: Buffer) => void
}

/** One chunk of one blob: the key in the cache, and the place where its readers meet. */
interface Slot<Key> {
  readonly key: Key
  readonly index: number
  loading: Promise<Buffer> | undefined
}

/**
 * The chunks of hot blobs, least recently used out first. Buffers are shared with every reader and
 * are not written to as long as one of them has it on loan, or it is kept here.
 *
 * @template Key what tells one content from another
 */
export class ChunkCache<Key = Digest> {
  readonly maxBytes: number
  /** What readers hold besides. */
  readonly loans: Loans
  readonly #memory: ChunkMemory
  readonly #slots = new Map<Key, Map<number, Slot<Key>>>()
  readonly #buffers: LRUCache<Slot<Key>, Buffer>

  constructor({ maxBytes, onFreed }: ChunkCacheOptions) {
    this.maxBytes = maxBytes
    this.#memory = new ChunkMemory({ maxFree: MAX_FREE, onFreed })
    this.loans = new Loans(undefined, (buffer) => this.#memory.giveBack(buffer))
    this.#buffers = new LRUCache({
      maxSize: Math.max(1, maxBytes),
      sizeCalculation: (buffer) => Math.max(buffer.byteLength, MIN_COST_BYTES),
      dispose: (buffer, slot, reason) => {
        this.loans.uncached(buffer)
        if (reason !== 'set') this.#forget(slot)
      },
    })
  }

  /** Bytes kept. */
  get bytes(): number {
    return this.#buffers.calculatedSize
  }

  /** For a chunk to be read into. It is used again once it was kept or lent, and is no longer. */
  take(): Buffer {
    return this.#memory.take()
  }

  /** The chunk if it is in memory, without a promise; counts as a use. */
  peek(key: Key, index: number): Buffer | undefined {
    const slot = this.#slots.get(key)?.get(index)
    return slot === undefined ? undefined : this.#buffers.get(slot)
  }

  /** The chunk, loaded once however many ask for it. A failed load fails all of them, and is forgotten. */
  get(key: Key, index: number, load: () => Promise<Buffer>): Promise<Buffer> {
    const slot = this.#slotOf(key, index)
    const buffer = this.#buffers.get(slot)
    if (buffer !== undefined) return Promise.resolve(buffer)
    if (slot.loading !== undefined) return slot.loading
    slot.loading = this.#load(slot, load)
    return slot.loading
  }

  /** Keeps a chunk that the caller has and will not write to again. */
  put(key: Key, index: number, buffer: Buffer): void {
    this.#keep(this.#slotOf(key, index), buffer)
  }

  /** Forgets a blob: it was deleted, or its bytes are damaged. A load under way is not kept. */
  drop(key: Key): void {
    const slots = this.#slots.get(key)
    if (slots === undefined) return
    this.#slots.delete(key)
    for (const slot of slots.values()) this.#buffers.delete(slot)
  }

  async #load(slot: Slot<Key>, load: () => Promise<Buffer>): Promise<Buffer> {
    const loaded = this.loans.reserve(CHUNK_BYTES)
    try {
      const buffer = await load()
      slot.loading = undefined
      // Whoever waits for it takes a loan of his own before this one ends.
      setImmediate(this.loans.lend(buffer))
      if (this.#isCurrent(slot)) this.#keep(slot, buffer)
      return buffer
    } catch (error) {
      slot.loading = undefined
      if (!this.#buffers.has(slot)) this.#forget(slot) // it may have been put meanwhile
      throw error
    } finally {
      loaded()
    }
  }

  #keep(slot: Slot<Key>, buffer: Buffer): void {
    // A small view would keep the whole of the memory behind it.
    const isSmallView = buffer.byteLength * 2 < buffer.buffer.byteLength
    const kept = isSmallView ? copyOf(buffer) : buffer
    this.#buffers.set(slot, kept)
    if (this.#buffers.has(slot)) this.loans.cached(kept)
    else this.#forget(slot) // larger than the whole cache
  }

  #slotOf(key: Key, index: number): Slot<Key> {
    let slots = this.#slots.get(key)
    if (slots === undefined) {
      slots = new Map()
      this.#slots.set(key, slots)
    }
    let slot = slots.get(index)
    if (slot === undefined) {
      slot = { key, index, loading: undefined }
      slots.set(index, slot)
    }
    return slot
  }

  #isCurrent(slot: Slot<Key>): boolean {
    return this.#slots.get(slot.key)?.get(slot.index) === slot
  }

  #forget(slot: Slot<Key>): void {
    if (slot.loading !== undefined || !this.#isCurrent(slot)) return
    const slots = this.#slots.get(slot.key)
    slots?.delete(slot.index)
    if (slots?.size === 0) this.#slots.delete(slot.key)
  }
}
