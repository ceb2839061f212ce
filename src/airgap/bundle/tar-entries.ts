import { extract, type Header } from 'tar-stream'

import { digestOf } from '../../oci/digest.ts'
import { ArchiveError } from './errors.ts'

/** A file of an archive, or another name for one. Nothing of it is ever used as a path. */
export interface TarEntry {
  /** Without `./` before it: `blobs/sha256/…`. */
  readonly name: string
  /** Bytes; 0 of a link. */
  readonly size: number
  /** Which other entry a link means; `undefined`: it is a file. */
  readonly target: string | undefined
  /** To be read, or left, before the next entry is asked for. */
  readonly content: AsyncIterable<Buffer>
}

/** More is no archive of images: each layer has a few. */
const MAX_ENTRIES = 200_000
const MAX_NAME_BYTES = 1024
/** Longer names are remembered by their digest: a quarter of a million of them have to fit. */
const MAX_REMEMBERED_CHARACTERS = 128
/** What of an archive may be no file's: headers, padding, and blocks of zeros at its end. */
const MAX_IDLE_BYTES = 64 * 1024 * 1024
const MAX_IDLE_ENTRY_BYTES = 16 * 1024
/** Two blocks of zeros end an archive (POSIX.1-2017, pax): one that was cut does not have them. */
const END_BYTES = 1024

/**
 * The files of a plain tar, as they come. What no archive of images has is refused: names that lead
 * out of it, devices, sparse files, the same name twice, an end that is missing.
 *
 * @throws {ArchiveError}
 * @throws what reading `body` fails with
 */
export async function* readEntries(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<TarEntry, void, undefined> {
  const parser = extract()
  const feed = new Feed()
  void feed.into(parser, body)
  const seen = new Names()
  try {
    for await (const entry of parser) {
      const { header } = entry
      feed.count(header)
      const read = seen.add(header)
      if (read !== undefined) {
        yield { ...read, content: contentOf(entry as AsyncIterable<Buffer>, feed) }
      }
      entry.resume()
    }
  } catch (error) {
    throw feed.whyOf(error)
  } finally {
    // A body that comes no more must not keep anybody from hearing why.
    parser.destroy()
  }
  feed.requireEnd()
}

type Parser = ReturnType<typeof extract>

/** What goes into the parser, and how much of it was for anything. */
class Feed {
  /** What reading the body failed with. */
  failure: { readonly error: unknown } | undefined
  #bytes = 0
  #entries = 0
  #content = 0
  #tail: Uint8Array = Buffer.alloc(0)

  /** Never rejects. */
  async into(parser: Parser, body: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const bytes of body) {
        if (parser.destroyed) return
        this.#came(bytes)
        if (!parser.write(bytes)) await drained(parser)
      }
      parser.end(undefined)
    } catch (error) {
      this.failure = { error }
      parser.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** What the end of the parser, or of an entry, means. */
  whyOf(error: unknown): unknown {
    if (error instanceof ArchiveError) return error
    return this.failure?.error ?? damaged(error)
  }

  count({ size }: Header): void {
    if (++this.#entries > MAX_ENTRIES) {
      throw new ArchiveError(`the archive has more than ${MAX_ENTRIES} entries`)
    }
    this.#content += size
  }

  /** @throws {ArchiveError} */
  requireEnd(): void {
    const isEnd = this.#tail.length === END_BYTES && this.#tail.every((byte) => byte === 0)
    if (!isEnd) throw new ArchiveError('the archive ends before its end: it was cut')
  }

  #came(bytes: Uint8Array): void {
    this.#bytes += bytes.byteLength
    const idle = this.#bytes - this.#content - this.#entries * MAX_IDLE_ENTRY_BYTES
    // What comes of the file that is being read is counted already.
    if (idle > MAX_IDLE_BYTES) {
      throw new ArchiveError('the archive has too much in it that belongs to no file')
    }
    const end = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const tail = end.length < END_BYTES ? Buffer.concat([this.#tail, end]) : end
    this.#tail = tail.subarray(-END_BYTES)
  }
}

/** What is thrown while it is read is thrown to whoever reads it, and not to the loop over entries. */
async function* contentOf(
  entry: AsyncIterable<Buffer>,
  feed: Feed,
): AsyncGenerator<Buffer, void, undefined> {
  const pieces = entry[Symbol.asyncIterator]()
  for (;;) {
    let next: IteratorResult<Buffer>
    try {
      next = await pieces.next()
    } catch (error) {
      throw feed.whyOf(error)
    }
    if (next.done === true) return
    yield next.value
  }
}

/** What an archive has named so far. */
class Names {
  readonly #files = new Set<string>()

  /** @returns `undefined` for what is nothing of its own, such as a folder */
  add(header: Header): Omit<TarEntry, 'content'> | undefined {
    const { type, size, linkname } = header
    const name = inside(header.name)
    if (type === 'directory') return undefined
    if (name === '') throw new ArchiveError('the archive has an entry without a name')
    this.#require(header, name)
    this.#files.add(keyOf(name))
    if (type === 'file') return { name, size, target: undefined }
    const target = resolveLink(name, type, linkname)
    return { name, size: 0, target }
  }

  #require({ type, pax }: Header, name: string): void {
    if (type !== 'file' && type !== 'link' && type !== 'symlink') {
      const kind: string | null = type
      const what = kind ?? 'file of an unknown kind'
      throw new ArchiveError(`the archive has a ${what} in it: ${shown(name)}`)
    }
    const isSparse = Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse'))
    if (isSparse) throw new ArchiveError(`the archive has a sparse file in it: ${shown(name)}`)
    if (this.#files.has(keyOf(name))) {
      throw new ArchiveError(`the archive has two entries with the name ${shown(name)}`)
    }
  }
}

function keyOf(name: string): string {
  return name.length > MAX_REMEMBERED_CHARACTERS ? digestOf(Buffer.from(name)) : name
}

/** @throws {ArchiveError} of a name that leads out of the archive */
function inside(name: string): string {
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw new ArchiveError(`the archive has a name of more than ${MAX_NAME_BYTES} bytes`)
  }
  const parts = name.split('/').filter((part) => part !== '.' && part !== '')
  if (name.startsWith('/') || parts.includes('..') || name.includes('\0')) {
    throw new ArchiveError(`the archive has a name in it that leads out of it: ${shown(name)}`)
  }
  return parts.join('/')
}

/**
 * Older Docker wrote a layer that two images share once, and a link for the other: by name alone is
 * it looked up, and nothing else may be a link.
 */
function resolveLink(name: string, type: Header['type'], linkname: string): string {
  const refused = new ArchiveError(`the archive has a link in it: ${shown(name)}`)
  if (!/\.tar$/.test(name) || linkname.startsWith('/')) throw refused
  // A hard link is named from the top, a symbolic link from where it is.
  const path = type === 'link' ? [] : name.split('/').slice(0, -1)
  for (const part of linkname.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') path.push(part)
    else if (path.pop() === undefined) throw refused
  }
  return path.join('/')
}

async function drained(parser: Parser): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  parser.once('drain', resolve).once('close', resolve)
  await promise
  parser.off('drain', resolve).off('close', resolve)
}

function damaged(cause: unknown): ArchiveError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new ArchiveError(`the archive is damaged, or no tar: ${why}`, { cause })
}

/** What somebody made is no line of a terminal's until it is quoted. */
function shown(name: string): string {
  return JSON.stringify(name.slice(0, 200))
}
