import { LRUCache } from 'lru-cache'

import { atMost } from '../bound.ts'
import type { Place } from '../store/ports.ts'
import { keyPrefix } from './pull.ts'

const MAX_PLACES = 50_000

/**
 * Which answers of a registry are of today. A write that goes through Larder begins a new epoch for
 * its place, another configuration one for every place of its upstream; what was asked before may
 * then be given to whoever asked, but is kept by nobody and joined by nobody: it may be of before.
 * Epochs only ever rise, so that none is mistaken for an earlier one.
 */
export class Epochs {
  readonly #begun = new LRUCache<string, number>({
    ...atMost(MAX_PLACES),
    // A place that is forgotten for want of room must not go back to what it was before it.
    dispose: (epoch, _key, reason) => {
      if (reason === 'evict') this.#floor = Math.max(this.#floor, epoch)
    },
  })
  /** By upstream: as few as have ever been configured. */
  readonly #begunForAll = new Map<string, number>()
  #count = 0
  #floor = 0

  of(place: Place): number {
    const ofPlace = this.#begun.get(keyPrefix(place)) ?? 0
    const ofUpstream = this.#begunForAll.get(place.upstream) ?? 0
    return Math.max(ofPlace, ofUpstream, this.#floor)
  }

  begin(place: Place): void {
    this.#begun.set(keyPrefix(place), ++this.#count)
  }

  /** For every place of the upstream, those not yet seen included. */
  beginAll(upstream: string): void {
    this.#begunForAll.set(upstream, ++this.#count)
  }
}
