import { mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { BUNDLE_FILE, MAX_BUNDLE_BYTES } from '../airgap/bundle/bundle.ts'
import { ArchiveError } from '../airgap/bundle/errors.ts'
import { blobName, INDEX_FILE, LAYOUT_FILE } from '../airgap/bundle/layout.ts'
import { readEntries, type TarEntry } from '../airgap/bundle/tar-entries.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { Verifier } from '../oci/verify.ts'
import { syncDirectory, writeFully } from '../store/files.ts'
import { inBatches } from './blocks.ts'
import { writeExitError } from './write-errors.ts'

type Batch = readonly Uint8Array[]

/** Those without which a folder is no layout: they are written last. */
const DOCUMENTS: ReadonlySet<string> = new Set([BUNDLE_FILE, LAYOUT_FILE, INDEX_FILE])
const BLOB = /^blobs\/(sha256|sha512)\/([0-9a-f]+)$/
const ALGORITHMS = ['sha256', 'sha512'] as const

/**
 * An OCI image layout as a folder. What an archive calls its files never becomes a path: it is one of
 * three names, or a digest, of which the path is made.
 */
export class FolderWriter {
  readonly #path: string
  readonly #made: string[] = []
  readonly #written = new Set<string>()
  /** Of those that were not there before. */
  readonly #new: string[] = []

  constructor(path: string) {
    this.#path = path
  }

  /**
   * Durable when it resolves. Contents that are there already and in this bundle are written anew,
   * those that are not in it are removed.
   *
   * @throws {ExitError} 7 where there is no room
   * @throws {ArchiveError} what comes is no bundle
   */
  async write(archive: AsyncIterable<Uint8Array>): Promise<void> {
    const documents = new Map<string, Buffer>()
    try {
      for (const folder of ['', 'blobs', ...ALGORITHMS.map((name) => `blobs/${name}`)]) {
        await this.#makeFolder(join(this.#path, folder))
      }
      for await (const entry of readEntries(archive)) {
        if (DOCUMENTS.has(entry.name)) documents.set(entry.name, await readSmall(entry))
        else await this.#writeBlob(entry)
      }
      await this.#removeOthers()
      for (const [name, bytes] of documents) await this.#put(name, [[bytes]])
      await this.#sync()
    } catch (error) {
      throw writeExitError(error, this.#path)
    }
  }

  /** Removes what was not there before. */
  async abandon(): Promise<void> {
    for (const path of this.#new) await rm(path, { force: true })
    for (const folder of this.#made.toReversed()) await rmdir(folder).catch(() => undefined)
  }

  async #makeFolder(path: string): Promise<void> {
    const first = await mkdir(path, { recursive: true })
    if (first === undefined) return
    const made = [path]
    while (made[0] !== first && made.length < path.length) made.unshift(dirname(made[0] ?? first))
    this.#made.push(...made)
  }

  async #writeBlob(entry: TarEntry): Promise<void> {
    const digest = digestOfName(entry.name)
    const verifier = new Verifier(digest)
    await this.#put(blobName(digest), hashed(inBatches(entry.content), verifier))
    verifier.finish()
  }

  async #put(name: string, batches: AsyncIterable<Batch> | Iterable<Batch>): Promise<void> {
    const path = join(this.#path, name)
    const part = `${path}.part`
    this.#new.push(part)
    const handle = await open(part, 'w', 0o644)
    try {
      let at = 0
      for await (const batch of batches) {
        await writeFully(handle, batch, at, () => undefined)
        at += batch.reduce((sum, piece) => sum + piece.length, 0)
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
    const isThere = await open(path, 'r').then(
      (other) => other.close().then(() => true),
      () => false,
    )
    await rename(part, path)
    if (!isThere) this.#new.push(path)
    this.#written.add(path)
  }

  async #removeOthers(): Promise<void> {
    for (const algorithm of ALGORITHMS) {
      const folder = join(this.#path, 'blobs', algorithm)
      for (const name of await readdir(folder)) {
        const path = join(folder, name)
        if (isDigest(`${algorithm}:${name}`) && !this.#written.has(path)) await rm(path)
      }
    }
  }

  async #sync(): Promise<void> {
    for (const algorithm of ALGORITHMS) await syncDirectory(join(this.#path, 'blobs', algorithm))
    await syncDirectory(join(this.#path, 'blobs'))
    await syncDirectory(this.#path)
    for (const folder of this.#made) await syncDirectory(dirname(folder))
  }
}

function digestOfName(name: string): Digest {
  const [, algorithm, hex] = BLOB.exec(name) ?? []
  const digest = `${algorithm}:${hex}`
  if (isDigest(digest)) return digest
  throw new ArchiveError('what came is no bundle: it has a file in it that no layout has')
}

async function* hashed(
  batches: AsyncIterable<Batch>,
  verifier: Verifier,
): AsyncGenerator<Batch, void, undefined> {
  for await (const batch of batches) {
    for (const piece of batch) verifier.update(piece)
    yield batch
  }
}

async function readSmall({ size, content }: TarEntry): Promise<Buffer> {
  if (size > MAX_BUNDLE_BYTES) throw new ArchiveError('what came is no bundle: it is too large')
  return Buffer.concat(await Array.fromAsync(content))
}
