import { type FileHandle, open } from 'node:fs/promises'

import type { Digest } from '../oci/digest.ts'
import { pathOfBlob, pathOfPart } from '../store/blobs.ts'
import type { ChunkCache } from '../store/chunks.ts'
import { StoredContent } from '../store/content.ts'
import { OpenFile } from '../store/files.ts'

export interface VaultOptions {
  /** The data directory. */
  readonly path: string
  /** By the identity of a file. */
  readonly chunks: ChunkCache<string>
}

/** A stored blob, open. */
export interface OpenVault {
  readonly content: StoredContent
  close(): Promise<void>
}

/**
 * Stored blobs as a process reads them that does not know what is done with them. What was read of a
 * file is kept under what makes it that very file: when a damaged one is replaced, its bytes are not
 * taken for those of the new one.
 */
export class Vault {
  readonly #options: VaultOptions

  constructor(options: VaultOptions) {
    this.#options = options
  }

  /** @throws {Error} when it is not here, or of another size */
  async open(digest: Digest, size: number): Promise<OpenVault> {
    const file = pathOfBlob(this.#options.path, digest)
    const handle = await open(file, 'r')
    try {
      const { ino, ctimeNs, size: found } = await handle.stat({ bigint: true })
      if (found !== BigInt(size)) throw new Error(`${file} has ${found} bytes, expected ${size}`)
      return this.#contentOf(handle, file, { digest, size, key: `${digest} ${ino} ${ctimeNs}` })
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /**
   * One that is still on its way: whoever reads it has to know how far he may.
   *
   * @param flight tells this download from others, whose bytes may have been wrong
   * @throws {Error} when it is not here
   */
  async openPart(digest: Digest, size: number, flight: string): Promise<OpenVault> {
    const { path } = this.#options
    const part = pathOfPart(path, digest)
    const found = await open(part, 'r').catch(() => undefined)
    // It may be whole by now, and have its name.
    const handle = found ?? (await open(pathOfBlob(path, digest), 'r'))
    return this.#contentOf(handle, part, { digest, size, key: `${digest} ${flight}` })
  }

  #contentOf(
    handle: FileHandle,
    file: string,
    { digest, size, key }: { readonly digest: Digest; readonly size: number; readonly key: string },
  ): OpenVault {
    const opened = new OpenFile(handle, file, size)
    // It is closed by whoever has opened it.
    const read = opened.read.bind(opened)
    const blobs = { open: async () => ({ size, read, close: async () => {} }) }
    const cache = viewOf(this.#options.chunks, key)
    const content = new StoredContent({ digest, size, blobs, cache })
    return { content, close: () => opened.close() }
  }
}

/** The chunks of one file. */
function viewOf(chunks: ChunkCache<string>, key: string) {
  return {
    maxBytes: chunks.maxBytes,
    loans: chunks.loans,
    peek: (_: Digest, index: number) => chunks.peek(key, index),
    take: () => chunks.take(),
    get: (_: Digest, index: number, load: () => Promise<Buffer>) => chunks.get(key, index, load),
  }
}
