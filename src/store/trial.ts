import { randomUUID } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { writeFully } from './files.ts'

/** What a download writes at once. */
const BYTES = 1024 * 1024

/**
 * Does what storing a content does: a new file, its bytes, an fsync. It is removed again; where that
 * fails, the next start removes it.
 *
 * @param path the data directory
 * @throws what the disk refuses it with
 */
export async function tryWriting(path: string): Promise<void> {
  const file = join(path, 'ingest', `trial.${randomUUID()}.tmp`)
  try {
    const handle = await open(file, 'wx', 0o600)
    try {
      await writeFully(handle, [Buffer.alloc(BYTES)], 0, () => {})
      await handle.sync()
    } finally {
      await handle.close()
    }
  } finally {
    await rm(file, { force: true })
  }
}
