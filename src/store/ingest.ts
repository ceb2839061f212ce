import { chmod, constants, type FileHandle, open, rm } from 'node:fs/promises'

import type { Digest } from '../oci/digest.ts'
import { codeOf } from './errors.ts'
import { type FailAt, NEVER_FAILS } from './failpoints.ts'
import { OpenFile, writeFully } from './files.ts'
import type { Ingest } from './ports.ts'

export interface FileIngestOptions {
  readonly digest: Digest
  /** Of the part. */
  readonly path: string
  /** Gives the part its final name, durably. */
  readonly publish: () => Promise<void>
  readonly failAt?: FailAt
}

/** A part on disk. Its length is always `size`, so that a later run can go on where this one ended. */
export class FileIngest implements Ingest {
  readonly digest: Digest
  readonly #path: string
  readonly #publish: () => Promise<void>
  readonly #failAt: FailAt
  readonly #handle: FileHandle
  readonly #file: OpenFile
  #size: number
  #published = false

  /** Opens the part, or creates it with mode 0600. */
  static async open(options: FileIngestOptions): Promise<FileIngest> {
    const handle = await openPart(options.path)
    try {
      options.failAt?.('ingest.open')
      const { size } = await handle.stat()
      return new FileIngest(options, handle, size)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  private constructor(options: FileIngestOptions, handle: FileHandle, size: number) {
    this.digest = options.digest
    this.#path = options.path
    this.#publish = options.publish
    this.#failAt = options.failAt ?? NEVER_FAILS
    this.#handle = handle
    this.#file = new OpenFile(handle, options.path, size)
    this.#size = size
  }

  get size(): number {
    return this.#size
  }

  /** There is no cap here. */
  expect(): void {}

  /** When it fails, `size` counts what was written before the failure. */
  async append(buffers: readonly Uint8Array[]): Promise<void> {
    this.#failAt('ingest.append')
    await writeFully(this.#handle, buffers, this.#size, (bytes) => {
      this.#size += bytes
    })
  }

  read(position: number, length: number): Promise<Buffer> {
    return this.#file.read(position, length)
  }

  async reset(): Promise<void> {
    await this.#handle.truncate(0)
    this.#size = 0
  }

  async commit(): Promise<void> {
    await this.#handle.chmod(0o444)
    this.#failAt('commit.beforeSync')
    try {
      await this.#handle.sync()
    } catch (error) {
      // The kernel may have dropped the pages and called them clean: a second fsync would lie, and
      // so would a resumption. PostgreSQL learned it first.
      await rm(this.#path, { force: true })
      throw error
    }
    this.#failAt('commit.afterSync')
    await this.#publish()
    this.#published = true
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  async discard(): Promise<void> {
    await this.close()
    if (!this.#published) await rm(this.#path, { force: true })
  }
}

async function openPart(path: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_CREAT
  try {
    return await open(path, flags, 0o600)
  } catch (error) {
    if (codeOf(error) !== 'EACCES') throw error
    // A commit made it read-only and was interrupted before the rename.
    await chmod(path, 0o600)
    return await open(path, flags, 0o600)
  }
}
