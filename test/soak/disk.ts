import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

/** Downloads that are not finished. */
export function partsIn(dataDir: string): Promise<string[]> {
  return readdir(join(dataDir, 'ingest'))
}

/** Stored contents whose bytes are not what their names say. */
export async function damagedFiles(dataDir: string): Promise<string[]> {
  const root = join(dataDir, 'blobs', 'sha256')
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const damaged: string[] = []
  for (const entry of entries) {
    if (!entry.isFile()) continue
    // It may be evicted meanwhile.
    const bytes = await readFile(join(entry.parentPath, entry.name)).catch(() => undefined)
    if (bytes === undefined) continue
    const hash = createHash('sha256').update(bytes).digest('hex')
    if (hash !== basename(entry.name)) damaged.push(entry.name)
  }
  return damaged
}
