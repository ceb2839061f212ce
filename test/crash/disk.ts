/** What a data directory looks like from outside: nothing here asks Larder. */
import { createHash } from 'node:crypto'
import { cp, readdir, readFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import Database from 'better-sqlite3'

import { type Digest, encodedOf } from '../../src/oci/digest.ts'
import { makeTempDir } from '../support/temp-dir.ts'

/** Files by their path below the data directory, with their bytes. */
export type Files = ReadonlyMap<string, Buffer>

/** What has gone meanwhile is not among them. */
export async function readFiles(dataDir: string, folder: string): Promise<Files> {
  const files = new Map<string, Buffer>()
  const options = { recursive: true, withFileTypes: true } as const
  const entries = await readdir(join(dataDir, folder), options).catch(() => [])
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    const bytes = entry.isFile() ? await readFile(path).catch(() => undefined) : undefined
    if (bytes !== undefined) files.set(relative(dataDir, path), bytes)
  }
  return files
}

/** Below the data directory. */
export function blobPath(digest: Digest): string {
  const hex = encodedOf(digest)
  return join('blobs', 'sha256', hex.slice(0, 2), hex)
}

/** Those of `files` whose names are not what their bytes hash to. */
export function misnamed(files: Files): string[] {
  return [...files].filter(([path, bytes]) => hexOf(bytes) !== basename(path)).map(([path]) => path)
}

function hexOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export interface DatabaseState {
  /** `ok`, or what SQLite says is wrong. */
  readonly integrity: string
  /** Contents that have a row. */
  readonly blobs: readonly string[]
}

/** Of a dead process. Read from a copy: to open the database itself would mend it. */
export async function readDatabase(dataDir: string): Promise<DatabaseState> {
  await using copy = await makeTempDir('larder-copy-')
  const names = await readdir(dataDir)
  for (const name of names.filter((one) => /^larder\.db(?:-wal)?$/.test(one))) {
    await cp(join(dataDir, name), join(copy.path, name))
  }
  const database = new Database(join(copy.path, 'larder.db'))
  try {
    const integrity = String(database.pragma('integrity_check', { simple: true }))
    const isFilled = database
      .prepare<[], number>("select count(*) from sqlite_schema where name = 'blobs'")
      .pluck()
      .get()
    const all = database.prepare<[], string>(
      isFilled ? 'select digest from blobs' : "select '' where false",
    )
    return { integrity, blobs: all.pluck().all() }
  } finally {
    database.close()
  }
}

/** Names at the top of the data directory. */
export function namesIn(dataDir: string): Promise<string[]> {
  return readdir(dataDir)
}
