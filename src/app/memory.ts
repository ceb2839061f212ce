import type { Config } from '../config/config.ts'

/** For what is too small to be left to a worker. */
const SMALL_BLOBS_BYTES = 8 * 1024 * 1024

/**
 * Who keeps how much of hot blobs. Workers keep them, as it is they who send them: none knows of the
 * others, so each has its part of what may be kept.
 */
export function shareOfChunks({ memory, server }: Config): {
  readonly main: number
  readonly worker: number
} {
  const { chunkCacheBytes } = memory
  const { workers } = server
  if (workers === 1) return { main: chunkCacheBytes, worker: 0 }
  const worker = Math.floor(chunkCacheBytes / workers)
  return { main: Math.min(worker, SMALL_BLOBS_BYTES), worker }
}
