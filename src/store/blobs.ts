/**
 * Content-addressed files.
 *
 *     <path>/
 *       blobs/<algorithm>/<ab>/<hex>    whole and verified, mode 0444; <ab> is the start of <hex>
 *       ingest/<hex>.part               a download under way, or left by an earlier run
 *       ingest/<hex>.<uuid>.tmp         a put under way; left by a crash, it goes at the next start
 *       ingest/<uuid>.tmp               content that is being staged; the same
 *       quarantine/<hex>.<epoch ms>     damaged bytes, for an operator to look at
 *
 * A length of 64 or 128 tells the algorithm of a part. No path is ever made of anything but a
 * parsed digest. All folders are on one file system, so that a rename is atomic.
 */
import { randomUUID } from 'node:crypto'
import { access, constants, lstat, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { type Algorithm, algorithmOf, type Digest, encodedOf, isDigest } from '../oci/digest.ts'
import { codeOf, DataDirectoryError, DeniedFileError } from './errors.ts'
import { type FailAt, NEVER_FAILS } from './failpoints.ts'
import { makeDirectory, OpenFile, syncDirectory, writeFully } from './files.ts'
import { FileIngest } from './ingest.ts'
import type { BlobStore } from './ports.ts'
import { FileStaged } from './staging.ts'

export interface FileBlobsOptions {
  /** The data directory. The caller holds its lock: unfinished puts in it are removed. */
  readonly path: string
  readonly failAt?: FailAt
  /** Epoch milliseconds; default: the system's clock. */
  readonly now?: () => number
}

/** A download that was not finished. */
export interface Part {
  readonly digest: Digest
  readonly size: number
  /** Epoch milliseconds. */
  readonly modifiedAt: number
}

/** Damaged bytes that were put aside. */
export interface Quarantined {
  /** What it should have been. */
  readonly digest: Digest
  /** Of its file. */
  readonly name: string
  readonly size: number
  /** When it was put aside, epoch milliseconds. */
  readonly at: number
}

/** A content under its final name. */
export interface StoredFile {
  readonly digest: Digest
  readonly size: number
  /** Epoch milliseconds. */
  readonly modifiedAt: number
}

const ALGORITHMS: readonly Algorithm[] = ['sha256', 'sha512']
const BLOBS = 'blobs'
const INGEST = 'ingest'
const PART = '.part'
/** `<hex>.<epoch ms>` */
const QUARANTINED = /^([0-9a-f]+)\.(\d+)$/
/** How many files `scan` looks at together. */
const SCAN_BATCH = 64

export class FileBlobs implements BlobStore {
  readonly #blobs: string
  readonly #ingest: string
  readonly #quarantine: string
  readonly #failAt: FailAt
  readonly #now: () => number
  /** Damaged contents that the disk would neither move nor delete: they are not here all the same. */
  readonly #hidden = new Set<Digest>()
  /** Contents that may not be read: they are not here until they may, or are stored anew. */
  readonly #denied = new Set<Digest>()
  /** Directories being made: a second commit into one must not resolve before it is durable. */
  readonly #making = new Map<string, Promise<void>>()

  /** @throws {DataDirectoryError} when the folders cannot be made or written */
  static async open(options: FileBlobsOptions): Promise<FileBlobs> {
    const { path } = options
    const blobs = new FileBlobs(options)
    try {
      await blobs.#prepare()
    } catch (cause) {
      throw new DataDirectoryError(path, cause)
    }
    return blobs
  }

  private constructor({ path, failAt = NEVER_FAILS, now = Date.now }: FileBlobsOptions) {
    this.#failAt = failAt
    this.#now = now
    this.#blobs = join(path, BLOBS)
    this.#ingest = join(path, INGEST)
    this.#quarantine = join(path, 'quarantine')
  }

  async #prepare(): Promise<void> {
    const roots = ALGORITHMS.map((algorithm) => join(this.#blobs, algorithm))
    for (const directory of [...roots, this.#ingest, this.#quarantine]) {
      await makeDirectory(directory)
      await access(directory, constants.R_OK | constants.W_OK | constants.X_OK)
    }
    // A run that was killed may have made a fan-out directory and not synced its name.
    for (const root of roots) await syncDirectory(root)
    for (const entry of await readdir(this.#ingest, { withFileTypes: true })) {
      const strange = !entry.isDirectory() && digestOfPart(entry.name) === undefined
      if (strange) await rm(join(this.#ingest, entry.name), { force: true })
    }
  }

  async stat(digest: Digest): Promise<number | undefined> {
    if (this.#hidden.has(digest) || (await this.#isDenied(digest))) return undefined
    const stats = await present(stat(this.#pathOf(digest)))
    return stats?.isFile() ? stats.size : undefined
  }

  async open(digest: Digest): Promise<OpenFile | undefined> {
    if (this.#hidden.has(digest)) return undefined
    const path = this.#pathOf(digest)
    const handle = await present(open(path, 'r')).catch((error: unknown) => {
      if (!isDenial(error)) throw error
      this.#denied.add(digest)
      throw new DeniedFileError(path, error)
    })
    if (handle === undefined) return undefined
    try {
      const { size } = await handle.stat()
      return new OpenFile(handle, path, size)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  async read(digest: Digest, maxBytes: number): Promise<Buffer | undefined> {
    const blob = await this.open(digest)
    if (blob === undefined) return undefined
    try {
      return blob.size > maxBytes ? undefined : await blob.read(0, blob.size)
    } finally {
      await blob.close()
    }
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    const path = join(this.#ingest, `${encodedOf(digest)}.${randomUUID()}.tmp`)
    try {
      await writeFile(path, bytes, this.#failAt)
      this.#failAt('put.afterSync')
      await this.#publish(path, digest)
    } catch (error) {
      await rm(path, { force: true })
      throw error
    }
  }

  ingest(digest: Digest): Promise<FileIngest> {
    const path = join(this.#ingest, `${encodedOf(digest)}${PART}`)
    const publish = () => this.#publish(path, digest)
    return FileIngest.open({ digest, path, publish, failAt: this.#failAt })
  }

  stage(): Promise<FileStaged> {
    const publish = (path: string, digest: Digest) => this.#publish(path, digest)
    return FileStaged.open({ directory: this.#ingest, publish })
  }

  /** The downloads that were begun and neither committed nor discarded. */
  async listParts(): Promise<readonly Part[]> {
    const parts: Part[] = []
    for (const name of await readdir(this.#ingest)) {
      const digest = digestOfPart(name)
      if (digest === undefined) continue
      const stats = await present(lstat(join(this.#ingest, name)))
      if (stats?.isFile()) parts.push({ digest, size: stats.size, modifiedAt: stats.mtimeMs })
    }
    return parts
  }

  /** Of a download that nobody goes on with. */
  async deletePart(digest: Digest): Promise<void> {
    await present(unlink(join(this.#ingest, `${encodedOf(digest)}${PART}`)))
  }

  async delete(digest: Digest): Promise<void> {
    await present(unlink(this.#pathOf(digest)))
  }

  async quarantine(digest: Digest): Promise<void> {
    const path = this.#pathOf(digest)
    const target = join(this.#quarantine, `${encodedOf(digest)}.${this.#now()}`)
    try {
      await present(rename(path, target))
    } catch {
      await present(unlink(path)).catch(() => this.#hidden.add(digest))
    }
  }

  /** Oldest first. */
  async listQuarantined(): Promise<readonly Quarantined[]> {
    const found: Quarantined[] = []
    for (const name of await readdir(this.#quarantine)) {
      const [, hex = '', at] = QUARANTINED.exec(name) ?? []
      const digest = digestOfHex(hex)
      if (digest === undefined) continue
      const stats = await present(lstat(join(this.#quarantine, name)))
      if (stats?.isFile()) found.push({ digest, name, size: stats.size, at: Number(at) })
    }
    return found.sort((one, other) => one.at - other.at)
  }

  async deleteQuarantined({ name }: Quarantined): Promise<void> {
    await present(unlink(join(this.#quarantine, name)))
  }

  /** By name alone: to look at each of a hundred thousand files would cost seconds. */
  async *digests(): AsyncGenerator<readonly Digest[]> {
    for (const algorithm of ALGORITHMS) {
      const root = join(this.#blobs, algorithm)
      for (const prefix of (await present(readdir(root))) ?? []) {
        const digests = await listDirectory(join(root, prefix), prefix, algorithm)
        // To hash a hundred thousand names for nothing costs megabytes.
        yield this.#hidden.size === 0 ? digests : digests.filter((one) => !this.#hidden.has(one))
      }
    }
  }

  /** The same, one by one, with what their files say. */
  async *scan(): AsyncGenerator<StoredFile> {
    for await (const digests of this.digests()) {
      for (let at = 0; at < digests.length; at += SCAN_BATCH) {
        const batch = digests.slice(at, at + SCAN_BATCH)
        const files = batch.map((digest) => present(lstat(this.#pathOf(digest))))
        for (const [index, stats] of (await Promise.all(files)).entries()) {
          const digest = batch[index]
          if (digest === undefined || !stats?.isFile()) continue
          yield { digest, size: stats.size, modifiedAt: stats.mtimeMs }
        }
      }
    }
  }

  async #publish(from: string, digest: Digest): Promise<void> {
    const target = this.#pathOf(digest)
    await this.#makeFanOut(dirname(target))
    await rename(from, target)
    this.#hidden.delete(digest)
    this.#denied.delete(digest)
    this.#failAt('commit.afterRename')
    await syncDirectory(dirname(target))
    this.#failAt('commit.afterDirectorySync')
  }

  async #makeFanOut(path: string): Promise<void> {
    const made =
      this.#making.get(path) ?? makeDirectory(path).finally(() => this.#making.delete(path))
    this.#making.set(path, made)
    await made
  }

  /** Somebody may have put it right meanwhile. Only to open it tells for certain. */
  async #isDenied(digest: Digest): Promise<boolean> {
    if (!this.#denied.has(digest)) return false
    try {
      await (await open(this.#pathOf(digest), 'r')).close()
    } catch (error) {
      if (isDenial(error)) return true
    }
    this.#denied.delete(digest)
    return false
  }

  #pathOf(digest: Digest): string {
    return pathIn(this.#blobs, digest)
  }
}

/**
 * Where a content is, under its final name.
 *
 * @param path the data directory
 */
export function pathOfBlob(path: string, digest: Digest): string {
  return pathIn(join(path, BLOBS), digest)
}

/**
 * Where a download is, until it is whole.
 *
 * @param path the data directory
 */
export function pathOfPart(path: string, digest: Digest): string {
  return join(path, INGEST, `${encodedOf(digest)}${PART}`)
}

function pathIn(blobs: string, digest: Digest): string {
  const hex = encodedOf(digest)
  return join(blobs, algorithmOf(digest), hex.slice(0, 2), hex)
}

async function listDirectory(
  directory: string,
  prefix: string,
  algorithm: Algorithm,
): Promise<readonly Digest[]> {
  const names = await present(readdir(directory))
  return (names ?? [])
    .filter((name) => name.startsWith(prefix) && prefix.length === 2)
    .map((name) => `${algorithm}:${name}`)
    .filter(isDigest)
}

function isDenial(error: unknown): boolean {
  return codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM'
}

/** `undefined` where there is no such file; every other failure stays one. */
async function present<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

async function writeFile(path: string, bytes: Uint8Array, failAt: FailAt): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await writeFully(handle, [bytes], 0, () => {})
    await handle.chmod(0o444)
    failAt('put.beforeSync')
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function digestOfPart(name: string): Digest | undefined {
  if (!name.endsWith(PART)) return undefined
  return digestOfHex(name.slice(0, -PART.length))
}

function digestOfHex(hex: string): Digest | undefined {
  const digest = `${hex.length === 64 ? 'sha256' : 'sha512'}:${hex}`
  return isDigest(digest) ? digest : undefined
}
