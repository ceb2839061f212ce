import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'

import { syncDirectory, writeFully } from '../store/files.ts'
import { ExitError } from './exit.ts'
import {
  bundleIndexPath,
  checksumsPath,
  type FileTarget,
  filesOf,
  volumePath,
} from './export-target.ts'
import { writeExitError } from './write-errors.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 2
/** What has three figures sorts as it counts. */
const MAX_VOLUMES = 999

export interface WrittenFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

interface OpenVolume {
  readonly path: string
  readonly handle: FileHandle
  readonly hash: ReturnType<typeof createHash>
  bytes: number
}

/**
 * One file, or several of a certain size. They have another name until they are whole and durable.
 */
export class VolumesWriter {
  readonly #target: FileTarget
  readonly #replaces: boolean
  readonly #written: WrittenFile[] = []
  /** Names of which we have begun the file, and no other export has. */
  readonly #begun: string[] = []
  #volume: OpenVolume | undefined

  /** @param replaces whether what is there of an earlier bundle is removed */
  constructor(target: FileTarget, replaces: boolean) {
    this.#target = target
    this.#replaces = replaces
  }

  /** @throws {ExitError} 7 where there is no room */
  async write(batch: readonly Uint8Array[]): Promise<void> {
    for (let rest = batch; rest.length > 0; ) {
      const volume = this.#volume ?? (await this.#begin())
      const room = (this.#target.splitBytes ?? Number.POSITIVE_INFINITY) - volume.bytes
      const [parts, others] = splitAt(rest, room)
      await this.#append(volume, parts)
      rest = others
      if (volume.bytes === this.#target.splitBytes) await this.#end()
    }
  }

  /**
   * Durable when it resolves, and not under their names yet.
   *
   * @param document `larder-bundle.json`
   */
  async seal(document: Buffer): Promise<readonly WrittenFile[]> {
    const { path } = this.#target
    await this.#end()
    const sums = this.#written.map(
      ({ path, sha256 }) => `${checksumLine(basename(path), sha256)}\n`,
    )
    await this.#put(bundleIndexPath(path), document)
    await this.#put(checksumsPath(path), Buffer.from(sums.join('')))
    return this.#written
  }

  /** The checksums last: where they are, all is. */
  async publish(): Promise<void> {
    const { path } = this.#target
    const names = [...this.#begun]
    try {
      const stale = this.#replaces ? await filesOf(this.#target) : []
      for (const name of names) await rename(partOf(name), name)
      // Of two bundles of one name nobody could tell which volume belongs to which.
      for (const name of stale) if (!names.includes(name)) await rm(name, { force: true })
      await syncDirectory(dirname(path))
    } catch (error) {
      throw writeExitError(error, path)
    }
  }

  /** Removes what has not been published. */
  async abandon(): Promise<void> {
    await this.#volume?.handle.close().catch(() => undefined)
    this.#volume = undefined
    for (const name of this.#begun) await rm(partOf(name), { force: true })
  }

  async #begin(): Promise<OpenVolume> {
    const { path: whole, splitBytes } = this.#target
    const number = this.#written.length + 1
    if (number > MAX_VOLUMES) {
      const message = `more than ${MAX_VOLUMES} files: say a larger --split`
      throw new ExitError(EXIT_USAGE, message)
    }
    const path = splitBytes === undefined ? whole : volumePath(whole, number)
    const handle = await this.#open(path)
    this.#volume = { path, handle, hash: createHash('sha256'), bytes: 0 }
    return this.#volume
  }

  async #open(path: string): Promise<FileHandle> {
    try {
      const handle = await open(partOf(path), this.#replaces ? 'w' : 'wx', 0o644)
      this.#begun.push(path)
      return handle
    } catch (error) {
      const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST'
      if (!isThere) throw writeExitError(error, path)
      const whose = 'another export is writing it, or one was killed'
      throw new ExitError(EXIT_FAILURE, `${partOf(path)} is there: ${whose}: remove it, or --force`)
    }
  }

  async #append(volume: OpenVolume, parts: readonly Uint8Array[]): Promise<void> {
    const writing = writeFully(volume.handle, parts, volume.bytes, () => undefined)
    writing.catch(() => undefined)
    for (const part of parts) {
      // Meanwhile another thread writes.
      volume.hash.update(part)
      volume.bytes += part.length
    }
    try {
      await writing
    } catch (error) {
      throw writeExitError(error, volume.path)
    }
  }

  async #end(): Promise<void> {
    const volume = this.#volume
    if (volume === undefined) return
    const { path, handle, hash, bytes } = volume
    try {
      await handle.sync()
      await handle.close()
    } catch (error) {
      throw writeExitError(error, path)
    }
    this.#volume = undefined
    this.#written.push({ path, bytes, sha256: hash.digest('hex') })
  }

  async #put(path: string, bytes: Buffer): Promise<void> {
    const handle = await this.#open(path)
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } catch (error) {
      throw writeExitError(error, path)
    } finally {
      await handle.close()
    }
  }
}

/** The first so many bytes of a batch, and the others. */
function splitAt(batch: readonly Uint8Array[], bytes: number) {
  const first: Uint8Array[] = []
  const others: Uint8Array[] = []
  let room = bytes
  for (const piece of batch) {
    if (room > 0) first.push(piece.subarray(0, room))
    if (piece.length > room) others.push(piece.subarray(Math.max(0, room)))
    room -= piece.length
  }
  return [first, others] as const
}

/** Until it is whole. */
function partOf(path: string): string {
  return `${path}.part`
}

/** As `sha256sum` writes it, and escapes what would not stay on one line. */
function checksumLine(name: string, sha256: string): string {
  if (!/[\\\n\r]/.test(name)) return `${sha256}  ${name}`
  const escaped = name.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r')
  return `\\${sha256}  ${escaped}`
}
