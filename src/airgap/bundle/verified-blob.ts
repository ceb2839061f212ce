import type { Digest } from '../../oci/digest.ts'
import { ContentMismatchError } from '../../oci/errors.ts'
import { Verifier } from '../../oci/verify.ts'
import type { BlobStore, OpenBlob } from '../../store/ports.ts'

/** As the store cuts contents; smaller pieces would cost more promises than bytes. */
const PIECE_BYTES = 1024 * 1024

/**
 * What contents are read into, one after the other. A new buffer for each piece would have Node.js
 * collect garbage for longer than it reads and hashes.
 */
export class ReadBuffers {
  #given = Buffer.alloc(0)
  #other = Buffer.alloc(0)

  /** The one that was not given the last time. */
  take(): Buffer {
    const buffer = this.#other.length > 0 ? this.#other : Buffer.allocUnsafeSlow(PIECE_BYTES)
    this.#other = this.#given
    this.#given = buffer
    return buffer
  }
}

/**
 * A stored content from its first byte to its last, past the cache of hot chunks: what is read once
 * must not drive out what nodes pull. The last piece is given out only if all of it hashes to its
 * digest. The next piece is read while one is taken, and a piece is what it is until the next one is
 * asked for.
 *
 * @throws {ContentMismatchError} what is here is something else
 * @throws what the disk fails with
 */
export async function* readVerified(
  blobs: Pick<BlobStore, 'open'>,
  { digest, size }: { readonly digest: Digest; readonly size: number },
  buffers: ReadBuffers,
): AsyncGenerator<Buffer, void, undefined> {
  const blob = await blobs.open(digest)
  if (blob === undefined) throw new ContentMismatchError('size', String(size), 'nothing')
  const verifier = new Verifier(digest)
  let ahead: Promise<Buffer> | undefined
  try {
    if (blob.size !== size) throw new ContentMismatchError('size', String(size), String(blob.size))
    for (let at = 0; at < size; at += PIECE_BYTES) {
      const piece: Buffer = await (ahead ?? readPiece(blob, at, buffers))
      const next = at + PIECE_BYTES
      ahead = next < size ? readPiece(blob, next, buffers) : undefined
      verifier.update(piece)
      if (next >= size) verifier.finish()
      yield piece
    }
    if (size === 0) verifier.finish()
  } finally {
    await ahead?.catch(() => undefined)
    await blob.close()
  }
}

function readPiece(blob: OpenBlob, at: number, buffers: ReadBuffers): Promise<Buffer> {
  const piece = blob.read(at, Math.min(PIECE_BYTES, blob.size - at), buffers.take())
  // It may never be asked for. Who asks gets the failure all the same.
  piece.catch(() => undefined)
  return piece
}
