import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createGunzip, createZstdDecompress } from 'node:zlib'

import { BUNDLE_FILE, bundleIdOf, MAX_BUNDLE_BYTES, parseBundle } from '../airgap/bundle/bundle.ts'
import { ArchiveError } from '../airgap/bundle/errors.ts'
import { readEntries } from '../airgap/bundle/tar-entries.ts'
import type { Digest } from '../oci/digest.ts'
import { through } from './compressor.ts'
import { ExitError } from './exit.ts'
import { volumePath } from './export-target.ts'

const EXIT_USAGE = 2

/** What another bundle has, which a new one need not have. */
export interface ExportBase {
  readonly id: Digest
  /** ISO time. */
  readonly contentAt: string
  /** Everything that its images reach, what its own base has included. */
  readonly digests: readonly Digest[]
}

/**
 * What `--since` names: a bundle, however it is compressed or split, a folder, or the
 * `<bundle>.index.json` beside a bundle.
 *
 * @throws {ExitError} 2
 */
export async function readBase(name: string, cwd: string): Promise<ExportBase> {
  try {
    const bytes = await readDocument(resolve(cwd, name))
    const { contentAt, blobs } = parseBundle(bytes)
    const digests = [...new Set(blobs.map(({ digest }) => digest))]
    return { id: bundleIdOf(bytes), contentAt: new Date(contentAt).toISOString(), digests }
  } catch (cause) {
    const isKnown = cause instanceof ArchiveError || (cause instanceof Error && 'code' in cause)
    if (!isKnown) throw cause
    throw new ExitError(EXIT_USAGE, `--since ${name}: ${cause.message}`, { cause })
  }
}

async function readDocument(path: string): Promise<Buffer> {
  const isFolder = await isThere(path, true)
  const pieces = isFolder ? createReadStream(join(path, BUNDLE_FILE)) : readVolumes(path)
  const { first, all } = await peek(pieces)
  if (first[0] === 0x7b) return await gather(all)
  for await (const entry of readEntries(decompress(first, all))) {
    if (entry.name === BUNDLE_FILE) return await gather(entry.content)
    break
  }
  throw new ArchiveError('it is no bundle of larder export')
}

/** A bundle that was split is known by its own name, and by that of any of its volumes. */
async function* readVolumes(path: string): AsyncGenerator<Buffer, void, undefined> {
  const whole = path.replace(/\.\d{3}$/, '')
  const isSplit = whole !== path || !(await isThere(path, false))
  if (!isSplit || !(await isThere(volumePath(whole, 1), false))) {
    yield* createReadStream(path)
    return
  }
  for (let number = 1; await isThere(volumePath(whole, number), false); number++) {
    yield* createReadStream(volumePath(whole, number))
  }
}

function decompress(first: Buffer, all: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  if (first[0] === 0x1f && first[1] === 0x8b) return through(all, createGunzip())
  const isZstd = first.length >= 4 && first.readUInt32LE() === 0xfd2fb528
  return isZstd ? through(all, createZstdDecompress()) : all
}

async function peek(pieces: AsyncIterable<Buffer>) {
  const iterator = pieces[Symbol.asyncIterator]()
  const { value, done } = await iterator.next()
  const first: Buffer = done === true ? Buffer.alloc(0) : value
  const all = async function* () {
    yield first
    yield* { [Symbol.asyncIterator]: () => iterator }
  }
  return { first, all: all() }
}

async function gather(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const gathered: Uint8Array[] = []
  let size = 0
  for await (const piece of pieces) {
    size += piece.length
    if (size > MAX_BUNDLE_BYTES) throw new ArchiveError(`its ${BUNDLE_FILE} is too large`)
    gathered.push(piece)
  }
  return Buffer.concat(gathered)
}

async function isThere(path: string, asFolder: boolean): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isDirectory() === asFolder,
    () => false,
  )
}
