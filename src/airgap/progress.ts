import type { Digest } from '../oci/digest.ts'

/** How a preload stands, of all images together. */
export interface ProgressReport {
  readonly images: number
  readonly imagesDone: number
  /** Of contents that have come, or were here; each once. */
  readonly bytes: number
  /** Of all contents that are known by now. */
  readonly totalBytes: number
  /** From registries. */
  readonly fetchedBytes: number
  /** Of the last seconds, from registries. */
  readonly bytesPerSecond: number
  readonly active: readonly ActiveContent[]
}

/** A content on its way. */
export interface ActiveContent {
  readonly image: string
  readonly digest: Digest
  readonly bytes: number
  readonly totalBytes: number
}

export interface ContentTotals {
  /** From registries, or in a dry run what would be; each content once. */
  readonly fetchedBytes: number
  /** What was here already; each content once. */
  readonly hereBytes: number
}

/** A rate is that of so many seconds. */
const RATE_MS = 5_000

/** Counts what images share once. */
export class Progress {
  readonly #images: number
  readonly #elapsed: () => number
  readonly #sizes = new Map<Digest, number>()
  readonly #arrived = new Set<Digest>()
  readonly #active = new Map<Digest, { readonly image: string; bytes: number }>()
  /** What had come, and when. */
  readonly #samples: { readonly at: number; readonly bytes: number }[] = []
  #imagesDone = 0
  #fetchedBytes = 0
  #hereBytes = 0

  /** @param elapsed milliseconds of a clock that never jumps */
  constructor(images: number, elapsed: () => number) {
    this.#images = images
    this.#elapsed = elapsed
  }

  /** It is needed. A size of -1 is not known. */
  known(digest: Digest, size: number): void {
    if (!this.#sizes.has(digest)) this.#sizes.set(digest, Math.max(0, size))
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

  /** It is here now. What several images need arrives once. */
  arrived(digest: Digest, wasFetched: boolean): void {
    this.#active.delete(digest)
    if (this.#arrived.has(digest)) return
    this.#arrived.add(digest)
    const size = this.#sizes.get(digest) ?? 0
    if (wasFetched) this.#fetchedBytes += size
    else this.#hereBytes += size
  }

  ended(): void {
    this.#imagesDone++
  }

  report(): ProgressReport {
    const active = [...this.#active].map(([digest, { image, bytes }]) => ({
      image,
      digest,
      bytes,
      totalBytes: this.#sizes.get(digest) ?? 0,
    }))
    const fetchedBytes = active.reduce((sum, { bytes }) => sum + bytes, this.#fetchedBytes)
    return {
      images: this.#images,
      imagesDone: this.#imagesDone,
      bytes: fetchedBytes + this.#hereBytes,
      totalBytes: Iterator.from(this.#sizes.values()).reduce((sum, size) => sum + size, 0),
      fetchedBytes,
      bytesPerSecond: this.#rate(fetchedBytes),
      active,
    }
  }

  get totals(): ContentTotals {
    return { fetchedBytes: this.#fetchedBytes, hereBytes: this.#hereBytes }
  }

  #rate(bytes: number): number {
    const at = this.#elapsed()
    this.#samples.push({ at, bytes })
    while ((this.#samples[0]?.at ?? at) < at - RATE_MS) this.#samples.shift()
    const [first = { at, bytes }] = this.#samples
    return at > first.at ? Math.max(0, ((bytes - first.bytes) * 1000) / (at - first.at)) : 0
  }
}
