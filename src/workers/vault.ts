import { open } from 'node:fs/promises'

import type { Digest } from '../oci/digest.ts'
import { pathOfBlob } from '../store/blobs.ts'
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
    const { path, chunks } = this.#options
    const file = pathOfBlob(path, digest)
    const handle = await open(file, 'r')
    try {
      const { ino, ctimeNs, size: found } = await handle.stat({ bigint: true })
      if (found !== BigInt(size)) throw new Error(`${file} has ${found} bytes, expected ${size}`)
      const opened = new OpenFile(handle, file, size)
      const blobs = {
        // It is closed by whoever has opened it here.
        open: async () => ({
          size,
          read: opened.read.bind(opened),
          close: async () => {},
        }),
      }
      const cache = viewOf(chunks, `${digest} ${ino} ${ctimeNs}`)
      return {
        content: new StoredContent({ digest, size, blobs, cache }),
        close: () => opened.close(),
      }
    } catch (error) {
      await handle.close()
      throw error
    }
  }
}

/** The chunks of one file. */
function viewOf(chunks: ChunkCache<string>, key: string) {
  return {
    maxBytes: chunks.maxBytes,
    loans: chunks.loans,
    peek: (_: Digest, index: number) => chunks.peek(key, index),
    get: (_: Digest, index: number, load: () => Promise<Buffer>) => chunks.get(key, index, load),
  }
}
