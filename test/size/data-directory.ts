import { execFileSync } from 'node:child_process'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'

import { encodedOf } from '../../src/oci/digest.ts'
import { SqliteCatalog } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import type { Place } from '../../src/store/ports.ts'
import { type Image, imageOf, OWN_BLOBS, type Piece, SHARED } from './content.ts'

/** The upstream that everything came from. */
export const UPSTREAM = 'registry.test'

const DAY_MS = 24 * 3_600_000
/** Images written in one transaction. */
const BATCH = 500
/** Blobs between one word on how far it is and the next. */
const STEP = 20_000

export interface Filled {
  readonly images: number
  /** Without manifests. */
  readonly blobs: number
  /** Of everything that is stored. */
  readonly bytes: number
  /** Of the database file. */
  readonly databaseBytes: number
}

export interface FillOptions {
  /** Whether the files are there too, or only the rows. */
  readonly withFiles?: boolean
  /** Told how many blobs there are, now and then. */
  readonly progress?: (blobs: number) => void
}

/**
 * Makes the data directory of a Larder that has pulled so many blobs, one manifest for each five:
 * the rows by the store's own statements, without waiting for the disk. The image of number 0 was
 * not used for the longest time.
 */
export async function fillDataDirectory(
  path: string,
  blobs: number,
  { withFiles = true, progress }: FillOptions = {},
): Promise<Filled> {
  const images = Math.floor(blobs / OWN_BLOBS)
  const file = join(path, 'larder.db')
  mkdirSync(path, { recursive: true })
  const files = new Files(path)
  const { database } = openDatabase(file)
  // Nobody counts on what is half made.
  database.pragma('synchronous = off')
  database.pragma('cache_size = -1000000')
  const catalog = new SqliteCatalog(database)
  const keep = withFiles ? (piece: Piece) => files.write(piece) : () => {}
  let bytes = 0
  database.exec('begin')
  const now = Date.now()
  for (const shared of SHARED) {
    keep(shared)
    await catalog.putBlob(shared.digest, shared.bytes.length, now)
    bytes += shared.bytes.length
  }
  for (let number = 0; number < images; number++) {
    const image = imageOf(number)
    // The newest was used just now, the oldest a hundred days ago.
    const usedAt = now - Math.floor(((images - number) / images) * 100 * DAY_MS)
    bytes += await putImage(catalog, image, usedAt, now)
    for (const piece of [image.manifest, ...image.own]) keep(piece)
    if (number % BATCH === BATCH - 1) database.exec('commit; begin')
    const made = (number + 1) * OWN_BLOBS
    if (made % STEP !== 0) continue
    progress?.(made)
    // Or no signal would be seen before the end.
    await setImmediate()
  }
  // Or the scrub would have something to do.
  database.prepare('update blobs set verified_at = ?').run(now)
  database.exec('commit')
  database.pragma('wal_checkpoint(truncate)')
  await catalog.close()
  // Or the first that waits for the disk would wait for all of this.
  execFileSync('sync', ['--file-system', path])
  const databaseBytes = statSync(file).size
  return { images, blobs: images * OWN_BLOBS + SHARED.length, bytes, databaseBytes }
}

/** What a pull of it writes. */
async function putImage(
  catalog: SqliteCatalog,
  { repository, tag, manifest, record, children, own }: Image,
  usedAt: number,
  now: number,
): Promise<number> {
  const place: Place = { upstream: UPSTREAM, repository }
  await catalog.putManifest(place, record, children, { tag, checkedAt: now })
  let bytes = 0
  for (const piece of [manifest, ...own]) {
    const size = piece.bytes.length
    bytes += size
    await catalog.putBlob(piece.digest, size, usedAt, piece === manifest ? undefined : place)
  }
  return bytes
}

class Files {
  readonly #root: string
  readonly #made = new Set<string>()

  constructor(path: string) {
    this.#root = join(path, 'blobs/sha256')
  }

  write({ digest, bytes }: Piece): void {
    const hex = encodedOf(digest)
    const directory = join(this.#root, hex.slice(0, 2))
    if (!this.#made.has(directory)) {
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      this.#made.add(directory)
    }
    writeFileSync(join(directory, hex), bytes, { mode: 0o444 })
  }
}
