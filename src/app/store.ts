import { statfs } from 'node:fs/promises'

import type { Config, Space } from '../config/config.ts'
import type { Logger } from '../log.ts'
import type { Metrics, StoreReadings } from '../metrics.ts'
import { ContentMismatchError } from '../oci/errors.ts'
import type { Shelves } from '../pull/flights.ts'
import { FileBlobs } from '../store/blobs.ts'
import type { SqliteCatalog } from '../store/catalog.ts'
import { ChunkCache } from '../store/chunks.ts'
import { StoredContent } from '../store/content.ts'
import { openCatalog } from '../store/rebuild.ts'
import { UsageRecorder } from '../store/usage.ts'
import { reasonOf } from './reason.ts'

const USAGE_FLUSH_MS = 5_000

export interface Store {
  readonly blobs: FileBlobs
  readonly shelves: Shelves
  readonly catalog: SqliteCatalog
  readonly usage: UsageRecorder
  readonly storeFailed: (operation: string, error: unknown) => void
  close(): Promise<void>
}

/** What is here: files, database, hot chunks. */
export async function openStore(config: Config, logger: Logger, metrics: Metrics): Promise<Store> {
  const { path } = config.storage
  const blobs = await FileBlobs.open({ path })
  const { catalog, rebuilt } = openCatalog({ path, blobs, logger })
  const chunks = new ChunkCache({ maxBytes: config.memory.chunkCacheBytes })
  const storeFailed = (operation: string, error: unknown) => {
    if (error instanceof ContentMismatchError) {
      const { what, expected, actual } = error
      metrics.integrity(what)
      logger.warn({ operation, expected, actual }, 'damaged on disk: put aside, fetched again')
      return
    }
    metrics.storeError(operation)
    logger.warn({ operation, reason: reasonOf(error) }, 'the store refused: passing through')
  }
  const usage = new UsageRecorder({
    catalog,
    flushIntervalMs: USAGE_FLUSH_MS,
    onError: (error) => storeFailed('usage', error),
  })
  const shelves: Shelves = {
    async open(digest) {
      const size = await blobs.stat(digest)
      if (size === undefined) return undefined
      return new StoredContent({ digest, size, blobs, cache: chunks })
    },
    remember(digest, size, kept) {
      if (size > chunks.maxBytes) return
      for (const [index, chunk] of kept) {
        chunks.put(digest, index, chunk.subarray(0, size - index * chunk.length))
      }
    },
  }
  const close = async () => {
    await usage.close()
    await catalog.close()
    await rebuilt
  }
  return { blobs, shelves, catalog, usage, storeFailed, close }
}

/** What a scrape is told. */
export async function readStore(
  { storage }: Config,
  catalog: SqliteCatalog,
): Promise<StoreReadings> {
  const totals = await catalog.totals()
  const { bsize, blocks, bavail } = await statfs(storage.path)
  const filesystemBytes = bsize * blocks
  return {
    bytes: totals.blobBytes,
    blobs: totals.blobs,
    manifests: totals.manifests,
    tags: totals.tags,
    quotaBytes: bytesOf(storage.maxSize, filesystemBytes),
    filesystemBytes,
    availableBytes: bsize * bavail,
  }
}

function bytesOf(space: Space, whole: number): number {
  return 'bytes' in space ? space.bytes : Math.floor((whole * space.percent) / 100)
}
