import { finished } from 'node:stream/promises'

import { type Pack, pack } from 'tar-stream'

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
 * machine, a user or a time is in it.
 *
 * @throws what reading a content fails with: what came until then is no whole archive
 */
export async function* writeTar(
  files: Iterable<TarFile>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const archive = pack()
  const writing = fill(archive, files)
  // Who reads the archive hears of it there.
  writing.catch(() => undefined)
  try {
    yield* archive as AsyncIterable<Uint8Array>
  } finally {
    archive.destroy()
    await writing.catch(() => undefined)
  }
}

/** Bytes of the archive that {@link writeTar} makes of files with such sizes. */
export function tarSize(sizes: Iterable<number>): number {
  let sum = END_BYTES
  for (const size of sizes) sum += BLOCK_BYTES + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
  return sum
}

async function fill(archive: Pack, files: Iterable<TarFile>): Promise<void> {
  try {
    for (const file of files) await add(archive, file)
    archive.finalize()
  } catch (error) {
    archive.destroy(error instanceof Error ? error : new Error(String(error)))
  }
}

async function add(archive: Pack, { name, size, content }: TarFile): Promise<void> {
  const header = { name, size, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) }
  const entry = archive.entry({ ...header, type: 'file' })
  const ended = finished(entry)
  ended.catch(() => undefined)
  for await (const piece of content()) {
    if (archive.destroyed) return
    if (!entry.write(piece)) await drained(entry)
  }
  entry.end(undefined)
  await ended
}

async function drained(entry: NodeJS.EventEmitter): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  entry.once('drain', resolve).once('close', resolve)
  await promise
  entry.off('drain', resolve).off('close', resolve)
}
