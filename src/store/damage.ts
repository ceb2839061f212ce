import type { Digest } from '../oci/digest.ts'
import type { Fault } from './check.ts'
import type { ChunkCache } from './chunks.ts'
import { type FailAt, NEVER_FAILS } from './failpoints.ts'
import type { BlobStore, Catalog } from './ports.ts'
import type { Sendings } from './sending.ts'

export interface DamageOptions {
  readonly blobs: Pick<BlobStore, 'quarantine'>
  readonly catalog: Pick<Catalog, 'deleteBlob'>
  readonly chunks: Pick<ChunkCache, 'drop'>
  readonly sendings: Pick<Sendings, 'condemn'>
  readonly events: DamageEvents
  readonly failAt?: FailAt
}

export interface DamageEvents {
  /** Once for each content that was found to be damaged or missing. */
  damaged(digest: Digest, fault: Fault): void
  /** Its row could not be deleted. */
  storeFailed(operation: string, error: unknown): void
}

/**
 * What is done with a content that is not what it should be: it is put aside and its row goes, so
 * that it is a miss. Where it belongs stays known, so that it is fetched again and served as before.
 */
export class Damage {
  readonly #options: DamageOptions
  readonly #failAt: FailAt
  readonly #reported = new Map<Digest, Promise<void>>()

  constructor(options: DamageOptions) {
    this.#options = options
    this.#failAt = options.failAt ?? NEVER_FAILS
  }

  /** Resolves once the next pull fetches it anew. Never rejects: what the disk refuses is told. */
  report(digest: Digest, fault: Fault): Promise<void> {
    const reported = this.#reported.get(digest)
    if (reported !== undefined) return reported
    const done = this.#putAside(digest, fault).finally(() => this.#reported.delete(digest))
    this.#reported.set(digest, done)
    return done
  }

  async #putAside(digest: Digest, fault: Fault): Promise<void> {
    const { blobs, catalog, chunks, sendings, events } = this.#options
    events.damaged(digest, fault)
    await this.#attempt('quarantine', async () => {
      this.#failAt('scrub.damaged')
      if (fault !== 'missing') await blobs.quarantine(digest)
    })
    // Not before the file has gone: a reading that begins until then would bring it back to memory.
    sendings.condemn(digest)
    chunks.drop(digest)
    await this.#attempt('catalog', async () => {
      this.#failAt('scrub.quarantined')
      await catalog.deleteBlob(digest)
    })
  }

  async #attempt(operation: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#options.events.storeFailed(operation, error)
    }
  }
}
