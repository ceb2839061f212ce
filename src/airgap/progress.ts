import type { Digest } from '../oci/digest.ts'
import type { PreloadedImage, PreloadResult } from './preload.ts'

/** How a preload stands, of all images together. */
export interface ProgressReport {
  readonly images: number
  readonly imagesEnded: number
  /** Of contents that have come, or were here; each once. */
  readonly bytes: number
  /** Of all contents that are known by now. */
  readonly totalBytes: number
  /** From registries. */
  readonly fetchedBytes: number
  readonly active: readonly ActiveContent[]
}

/** A content on its way. */
export interface ActiveContent {
  readonly image: string
  readonly digest: Digest
  readonly bytes: number
  readonly totalBytes: number
}

/** Counts what images share once. */
export class Progress {
  readonly #images: number
  readonly #sizes = new Map<Digest, number>()
  readonly #active = new Map<Digest, { image: string; bytes: number }>()
  readonly #ended = { done: 0, unchanged: 0, failed: 0 }
  #fetchedBytes = 0
  #hereBytes = 0

  constructor(images: number) {
    this.#images = images
  }

  /** It is needed. @returns false when another image has said so before */
  known(digest: Digest, size: number): boolean {
    if (this.#sizes.has(digest)) return false
    this.#sizes.set(digest, Math.max(0, size))
    return true
  }

  began(image: string, digest: Digest): void {
    this.#active.set(digest, { image, bytes: 0 })
  }

  came(digest: Digest, bytes: number): void {
    const active = this.#active.get(digest)
    if (active !== undefined) active.bytes += bytes
  }

  failed(digest: Digest): void {
    this.#active.delete(digest)
  }

  /** It is here now. */
  arrived(digest: Digest, wasFetched: boolean): void {
    this.#active.delete(digest)
    const size = this.#sizes.get(digest) ?? 0
    if (wasFetched) this.#fetchedBytes += size
    else this.#hereBytes += size
  }

  ended({ state }: PreloadedImage): void {
    if (state !== 'fetching') this.#ended[state]++
  }

  report(): ProgressReport {
    const { done, unchanged, failed } = this.#ended
    const active = [...this.#active].map(([digest, { image, bytes }]) => ({
      image,
      digest,
      bytes,
      totalBytes: this.#sizes.get(digest) ?? 0,
    }))
    const underWay = active.reduce((sum, { bytes }) => sum + bytes, 0)
    return {
      images: this.#images,
      imagesEnded: done + unchanged + failed,
      bytes: this.#fetchedBytes + this.#hereBytes + underWay,
      totalBytes: Iterator.from(this.#sizes.values()).reduce((sum, size) => sum + size, 0),
      fetchedBytes: this.#fetchedBytes + underWay,
      active,
    }
  }

  get result(): PreloadResult {
    return { ...this.#ended, fetchedBytes: this.#fetchedBytes, hereBytes: this.#hereBytes }
  }
}
