import { pack } from 'tar-stream'

/** A file to be put into an archive. */
export interface TarFile {
  /** ASCII, at most 100 bytes and a folder of at most 155: a name that every tar can hold. */
  readonly name: string
  /** Bytes. */
  readonly size: number
  /** Exactly `size` bytes; not asked for before all files ahead of it are written. */
  readonly content: () => AsyncIterable<Uint8Array>
}

const BLOCK_BYTES = 512
/** Two blocks of zeros (POSIX.1-2017, pax). */
const END_BYTES = 2 * BLOCK_BYTES

/**
 * A plain tar, no faster than it is taken: the same files give the same bytes, as nothing of a
 * machine, a user or a time is in it. Pieces of contents are passed on as they are, one at a time:
 * the next is asked for when the one before is done with.
 *
 * @throws what reading a content fails with: what came until then is no whole archive
 */
export async function* writeTar(
  files: Iterable<TarFile>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const { name, size, content } of files) {
    yield await headerOf(name, size)
    let written = 0
    for await (const piece of content()) {
      written += piece.length
      if (written > size) break
      yield piece
    }
    if (written !== size) throw new Error(`size mismatch: ${name} is not ${size} bytes long`)
    const padding = -size & (BLOCK_BYTES - 1)
    if (padding > 0) yield new Uint8Array(padding)
  }
  yield new Uint8Array(END_BYTES)
}

/** Bytes of the archive that {@link writeTar} makes of files with such sizes. */
export function tarSize(sizes: Iterable<number>): number {
  let sum = END_BYTES
  for (const size of sizes) sum += BLOCK_BYTES + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
  return sum
}

/** Only the header is the packer's: contents that went through it would have to be bytes nobody else has. */
async function headerOf(name: string, size: number): Promise<Uint8Array> {
  const archive = pack()
  const header = { name, size, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) }
  archive.entry({ ...header, type: 'file' }, () => undefined)
  for await (const block of archive as AsyncIterable<Uint8Array>) return block
  throw new Error(`no header can be made of ${name}`)
}
