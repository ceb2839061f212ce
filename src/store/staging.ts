import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { Digest } from '../oci/digest.ts'
import { writeFully } from './files.ts'
import type { Staged } from './ports.ts'

export interface FileStagedOptions {
  /** Where parts are. What a crash leaves there under this name goes at the next start. */
  readonly directory: string
  /** Gives the file its final name, durably. */
  readonly publish: (path: string, digest: Digest) => Promise<void>
}

/** A file that is written from its start to its end, under a name of its own. */
export class FileStaged implements Staged {
  readonly #path: string
  readonly #handle: FileHandle
  readonly #publish: FileStagedOptions['publish']
  #size = 0
  #hasEnded = false

  static async open({ directory, publish }: FileStagedOptions): Promise<FileStaged> {
    const path = join(directory, `${randomUUID()}.tmp`)
    return new FileStaged(path, await open(path, 'wx', 0o600), publish)
  }

  private constructor(path: string, handle: FileHandle, publish: FileStagedOptions['publish']) {
    this.#path = path
    this.#handle = handle
    this.#publish = publish
  }

  get size(): number {
    return this.#size
  }

  async append(buffers: readonly Uint8Array[]): Promise<void> {
    await writeFully(this.#handle, buffers, this.#size, (bytes) => {
      this.#size += bytes
    })
  }

  async commit(digest: Digest): Promise<void> {
    try {
      await this.#handle.chmod(0o444)
      await this.#handle.sync()
      await this.#handle.close()
      await this.#publish(this.#path, digest)
      this.#hasEnded = true
    } finally {
      await this.discard()
    }
  }

  async discard(): Promise<void> {
    if (this.#hasEnded) return
    this.#hasEnded = true
    await this.#handle.close()
    await rm(this.#path, { force: true })
  }
}
