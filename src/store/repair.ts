import type { Digest } from '../oci/digest.ts'
import type { Child } from '../oci/manifest.ts'
import type { BlobStore, Place } from './ports.ts'

/** A place that is known to have a content, as manifest or as blob. */
export interface Source extends Place {
  readonly kind: Child['kind']
}

/**
 * Pulls from there, to the end, and stores it.
 *
 * @returns whether it was fetched
 */
export type Refetch = (source: Source, digest: Digest, signal: AbortSignal) => Promise<boolean>

export interface RepairOptions {
  readonly blobs: Pick<BlobStore, 'stat'>
  readonly catalog: { listSources(digest: Digest): Promise<readonly Source[]> }
  readonly refetch: Refetch
  /** Told why a source was of no use; the next is tried. */
  readonly onError: (error: unknown) => void
}

/** Fetches again what was lost. */
export class Repair {
  readonly #options: RepairOptions

  constructor(options: RepairOptions) {
    this.#options = options
  }

  /** Where it can come from: first those whose registry has given or confirmed it. */
  sourcesOf(digest: Digest): Promise<readonly Source[]> {
    return this.#options.catalog.listSources(digest)
  }

  /**
   * Never rejects.
   *
   * @returns whether it is here again
   */
  async restore(digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { blobs, refetch, onError } = this.#options
    try {
      for (const source of await this.sourcesOf(digest)) {
        if (signal.aborted) return false
        const isFetched = await refetch(source, digest, signal).catch((error: unknown) => {
          if (!signal.aborted) onError(error)
          return false
        })
        if (isFetched && (await blobs.stat(digest)) !== undefined) return true
      }
    } catch (error) {
      onError(error)
    }
    return false
  }
}
