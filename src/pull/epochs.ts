import { LRUCache } from 'lru-cache'

import type { Place } from '../store/ports.ts'
import { keyPrefix } from './pull.ts'

const MAX_PLACES = 50_000

/**
 * Which answers of a registry are of today. A write that goes through Larder begins a new epoch for
 * its place; what was asked before may then be given to whoever asked, but is kept by nobody and
 * joined by nobody: it may be of before the write.
 */
export class Epochs {
  readonly #begun = new LRUCache<string, number>({ max: MAX_PLACES })
  #count = 0

  of(place: Place): number {
    return this.#begun.get(keyPrefix(place)) ?? 0
  }

  begin(place: Place): void {
    this.#begun.set(keyPrefix(place), ++this.#count)
  }
}
