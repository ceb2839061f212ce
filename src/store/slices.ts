import { setImmediate } from 'node:timers/promises'

/** How long a slice of a long work may keep everything else waiting. */
const SLICE_MS = 5

/** Lets everything else have its turn in a work that would otherwise hold it up. */
export class Slices {
  #began = performance.now()

  get isOver(): boolean {
    return performance.now() - this.#began >= SLICE_MS
  }

  /** Waits only when the slice is over. */
  async rest(): Promise<void> {
    if (this.isOver) await this.end()
  }

  async end(): Promise<void> {
    await setImmediate()
    this.#began = performance.now()
  }
}
