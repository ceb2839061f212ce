import { randomFillSync } from 'node:crypto'
import { rmSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { writeFully } from './files.ts'
import type { Disk } from './quota.ts'

export interface BallastOptions {
  /** The data directory. */
  readonly path: string
  readonly measure: (path: string) => Promise<Disk>
}

const MIB = 1024 * 1024
const NAME = 'ballast'
const MAX_BYTES = 64 * MIB
/** A transaction that removes something writes no more than this to the database's log. */
const ENOUGH_BYTES = MIB
const SHARE = 0.01
/** Of a disk so small that even that would be felt. */
const MAX_SHARE = 1 / 16
const BLOCK_BYTES = 512

/**
 * Space that is held only to be given up. To remove content is to write to the database, which a full
 * disk does not allow: then the ballast is dropped, and there is room for that.
 */
export class Ballast {
  readonly #path: string
  readonly #options: BallastOptions
  #isLaid = false
  #isReleased = false
  #laying: Promise<boolean> | undefined

  /** Takes over what an earlier run has laid. */
  static async open(options: BallastOptions): Promise<Ballast> {
    const ballast = new Ballast(options)
    await ballast.#takeOver()
    return ballast
  }

  private constructor(options: BallastOptions) {
    this.#options = options
    this.#path = join(options.path, NAME)
  }

  get isLaid(): boolean {
    return this.#isLaid
  }

  /** Gives its space up, before this returns. Never throws. */
  release(): void {
    this.#isLaid = false
    this.#isReleased = true
    try {
      rmSync(this.#path, { force: true, recursive: true })
    } catch {
      // A disk that is read-only has no use for it either.
    }
  }

  /** How much free space it takes to be laid, unless it lies there: it must not be what fills the disk. */
  async neededBytes(): Promise<number> {
    return this.#isLaid ? 0 : 2 * (await this.#bytes())
  }

  /**
   * Lays it, unless it lies there.
   *
   * @returns whether it lies there now; where there is too little space it does not
   */
  lay(): Promise<boolean> {
    this.#laying ??= this.#lay().finally(() => {
      this.#laying = undefined
    })
    return this.#laying
  }

  async #lay(): Promise<boolean> {
    if (this.#isLaid) return true
    const bytes = await this.#bytes()
    if (bytes === 0) return true
    const { free } = await this.#options.measure(this.#options.path)
    if (free < 2 * bytes) return false
    this.#isReleased = false
    try {
      await this.#write(bytes)
      // It may have been released meanwhile.
      this.#isLaid = !this.#isReleased
    } finally {
      if (!this.#isLaid) rmSync(this.#path, { force: true })
    }
    return this.#isLaid
  }

  async #takeOver(): Promise<void> {
    const stats = await stat(this.#path).catch(() => undefined)
    if (stats === undefined) return
    const bytes = await this.#bytes()
    const held = stats.blocks * BLOCK_BYTES
    this.#isLaid = stats.isFile() && stats.size >= bytes && stats.size < 2 * bytes && held >= bytes
    // What a run that was killed has left half laid, or another release or disk has laid otherwise.
    if (!this.#isLaid) this.release()
  }

  /** Neither sparse nor of bytes that a file system could compress. */
  async #write(bytes: number): Promise<void> {
    const chunk = randomFillSync(Buffer.allocUnsafeSlow(Math.min(bytes, MIB)))
    const handle = await open(this.#path, 'w', 0o600)
    try {
      for (let at = 0; at < bytes && !this.#isReleased; at += chunk.length) {
        await writeFully(handle, [chunk.subarray(0, bytes - at)], at, () => {})
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  async #bytes(): Promise<number> {
    const { size } = await this.#options.measure(this.#options.path)
    const most = Math.min(MAX_BYTES, size * MAX_SHARE)
    return Math.floor(Math.min(most, Math.max(size * SHARE, ENOUGH_BYTES)))
  }
}
