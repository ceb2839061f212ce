import { CHUNK_BYTES } from '../chunk-memory.ts'
import type { Trail } from './content.ts'
import type { Progress } from './progress.ts'
import type { Follower } from './window.ts'

/** What a trail has to know of the download. */
export interface TrailSource {
  readonly id: string
  readonly size: number
  /** Whether all bytes are here and right. */
  readonly isVerified: boolean
  /** False once the disk has refused. */
  readonly isStored: boolean
  /** Bytes in the file. */
  readonly written: number
  /** How far readers may read. */
  readonly readable: number
  readonly progress: Progress
  /** @throws {RegistryError} once there will be no more bytes */
  throwFailure(): void
  /** Somebody was told of bytes: they stay what they are, or there are no more. */
  told(): void
}

/** Tells a reader of the file how far he may, and keeps for him what he would need without it. */
export class FileTrail implements Trail {
  readonly #source: TrailSource
  readonly #follower: Follower
  readonly #start: number
  #hasLeft = false

  constructor(source: TrailSource, follower: Follower) {
    this.#source = source
    this.#follower = follower
    this.#start = follower.position
  }

  get id(): string {
    return this.#source.id
  }

  async begins(patienceMs: number, signal: AbortSignal): Promise<boolean> {
    const source = this.#source
    let isLate = false
    let timer: NodeJS.Timeout | undefined
    try {
      for (;;) {
        source.throwFailure()
        signal.throwIfAborted()
        if (!source.isStored || isLate) return false
        if (this.#end() > this.#start) return true
        if (source.readable > this.#start) {
          timer ??= setTimeout(() => {
            isLate = true
            source.progress.wake()
          }, patienceMs)
        }
        await source.progress.wait(signal)
      }
    } finally {
      clearTimeout(timer)
    }
  }

  async reach(known: number, signal: AbortSignal): Promise<number | undefined> {
    const source = this.#source
    for (;;) {
      source.throwFailure()
      signal.throwIfAborted()
      if (!source.isStored) return undefined
      const end = this.#end()
      if (end > known) return end
      await source.progress.wait(signal)
    }
  }

  passed(position: number): void {
    this.#follower.advance(Math.max(0, position - this.#follower.position))
  }

  /** Nothing is kept for him any more; a second call does nothing. */
  leave(): void {
    if (this.#hasLeft) return
    this.#hasLeft = true
    this.#follower.leave()
  }

  /** Whole chunks, as a part of one would be taken for all of it, and the last once it may be read. */
  #end(): number {
    const { isVerified, written, size, readable } = this.#source
    const end = Math.min(readable, written)
    const whole = isVerified && written === size ? end : end - (end % CHUNK_BYTES)
    if (whole > this.#start) this.#source.told()
    return whole
  }
}
