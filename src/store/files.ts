import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

import { codeOf, TruncatedFileError } from './errors.ts'
import type { OpenBlob } from './ports.ts'

/**
 * A file open for positional reads. It may be closed under them: FileHandle waits for what is under
 * way, as the number of a closed descriptor may by then be that of another file.
 */
export class OpenFile implements OpenBlob {
  readonly size: number
  readonly #handle: FileHandle
  readonly #path: string

  constructor(handle: FileHandle, path: string, size: number) {
    this.#handle = handle
    this.#path = path
    this.size = size
  }

  read(position: number, length: number, into?: Buffer): Promise<Buffer> {
    // Not from the shared pool: chunks are kept, and each would pin the pool's slab.
    const buffer = into ?? Buffer.allocUnsafeSlow(length)
    const exact = buffer.byteLength === length ? buffer : buffer.subarray(0, length)
    return fill(exact, this.#handle, this.#path, position)
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

async function fill(
  buffer: Buffer,
  handle: FileHandle,
  path: string,
  position: number,
): Promise<Buffer> {
  const { length } = buffer
  let done = 0
  while (done < length) {
    const { bytesRead } = await handle.read(buffer, done, length - done, position + done)
    if (bytesRead === 0) {
      throw new TruncatedFileError(path, position + done, position + length)
    }
    done += bytesRead
  }
  return buffer
}

/**
 * What one call writes. For more at once the page cache takes its largest pieces, 2 MiB of memory that
 * belongs together: on a virtual machine that is what its host has taken back, and has to give anew,
 * which makes the copy ten times as dear. For less, the calls are.
 */
const WRITE_BYTES = 256 * 1024

/** Writes all of `buffers` at `position`; `onWritten` learns of each step, as a later one may fail. */
export async function writeFully(
  handle: FileHandle,
  buffers: readonly Uint8Array[],
  position: number,
  onWritten: (bytes: number) => void,
): Promise<void> {
  let rest = buffers.filter((buffer) => buffer.byteLength > 0)
  let at = position
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(upTo(WRITE_BYTES, rest), at)
    if (bytesWritten === 0) throw new Error('the file system accepts no more bytes')
    at += bytesWritten
    onWritten(bytesWritten)
    rest = after(rest, bytesWritten)
  }
}

/** The first `count` bytes of `buffers`, or all of them. */
function upTo(count: number, buffers: readonly Uint8Array[]): Uint8Array[] {
  const first: Uint8Array[] = []
  let left = count
  for (const buffer of buffers) {
    if (left === 0) break
    const part = buffer.subarray(0, left)
    first.push(part)
    left -= part.byteLength
  }
  return first
}

/** What is left of `buffers` once `count` bytes of them are written. */
function after(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  let skipped = 0
  let left = count
  for (const buffer of buffers) {
    if (left < buffer.byteLength) break
    left -= buffer.byteLength
    skipped++
  }
  const rest = buffers.slice(skipped)
  const first = rest[0]
  if (left > 0 && first !== undefined) rest[0] = first.subarray(left)
  return rest
}

/** Creates a directory, mode 0700, with its parents; durable when it resolves. */
export async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  // A name is durable once the directory that holds it is.
  for (let at = path; at.length >= first.length; at = dirname(at)) await syncDirectory(dirname(at))
}

/**
 * The same, for who cannot wait: the data directory itself, with which everything in it would be
 * lost. One that was there already may have been made by a run that was killed before it synced it.
 */
export function makeDirectorySync(path: string): void {
  const whole = resolve(path)
  const first = mkdirSync(whole, { recursive: true, mode: 0o700 })
  for (let at = whole; at.length >= (first ?? whole).length; at = dirname(at)) {
    try {
      syncNow(dirname(at))
    } catch (error) {
      // A parent that nobody made a name in may be one that cannot be read, or synced.
      if (first !== undefined && codeOf(error) !== 'EINVAL') throw error
    }
  }
}

function syncNow(directory: string): void {
  const descriptor = openSync(directory, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** fsync of a directory: makes the names in it durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } catch (error) {
    // Some network file systems have no fsync of directories; their names are durable at once.
    if (codeOf(error) !== 'EINVAL') throw error
  } finally {
    await handle.close()
  }
}
