import { pipeline, type Transform } from 'node:stream'
import { constants, createGunzip, createZstdDecompress } from 'node:zlib'

import { ArchiveError } from './errors.ts'

/** A piece of what comes out. */
const PIECE_BYTES = 256 * 1024
/** 128 MiB: what `zstd --long` uses; more would have to be held in memory by whoever reads it. */
const ZSTD_WINDOW_LOG = 27
/** No image is packed so small; a bomb is. */
const MAX_RATIO = 200
/** Below this nothing is a bomb. */
const FREE_BYTES = 64 * 1024 * 1024
const MAGIC_BYTES = 6

const OTHERS: readonly (readonly [string, string])[] = [
  ['fd377a585a00', 'xz'],
  ['425a68', 'bzip2'],
  ['04224d18', 'lz4'],
  ['504b0304', 'zip'],
]

/**
 * What it says in its first bytes that it is: a tar that is compressed with gzip or zstd becomes a
 * plain one, everything else stays as it is. As it comes, and no faster than it is taken.
 *
 * @throws {ArchiveError} of another compression, of what is damaged, or unpacks to far too much
 * @throws what reading `source` fails with
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { magic, bytes } = await peek(source)
  const counted = new Counted(bytes)
  const transform = decompressorFor(magic)
  if (transform === undefined) return yield* counted.bytes()
  const output = pipeline(counted.bytes(), transform, () => {})
  let size = 0
  try {
    for await (const piece of output as AsyncIterable<Buffer>) {
      size += piece.length
      if (size > FREE_BYTES && size > counted.size * MAX_RATIO) throw bomb()
      yield piece
    }
  } catch (error) {
    if (counted.failure !== undefined) throw counted.failure.error
    if (error instanceof ArchiveError || !isOfZlib(error)) throw error
    throw new ArchiveError(whyNot(error), { cause: error })
  }
}

function whyNot(error: Error & { readonly code: string }): string {
  if (error.code !== 'ZSTD_error_frameParameter_windowTooLarge') {
    return `the compressed archive is damaged: ${error.message}`
  }
  return (
    'the archive was compressed with a window of more than 128 MiB: ' +
    'zstd -dc --long=31 ARCHIVE | larder import -'
  )
}

/** What goes in: how much it was, and what reading it failed with. */
class Counted {
  size = 0
  failure: { readonly error: unknown } | undefined
  readonly #source: AsyncIterable<Uint8Array>

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source
  }

  async *bytes(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const bytes of this.#source) {
        this.size += bytes.byteLength
        yield bytes
      }
    } catch (error) {
      this.failure = { error }
      throw error
    }
  }
}

async function peek(source: AsyncIterable<Uint8Array>) {
  const iterator = source[Symbol.asyncIterator]()
  const first: Uint8Array[] = []
  let length = 0
  while (length < MAGIC_BYTES) {
    const next = await iterator.next()
    if (next.done === true) break
    length += next.value.byteLength
    // What is lent is somebody else's once the next is asked for.
    first.push(length < MAGIC_BYTES ? Buffer.from(next.value) : next.value)
  }
  async function* all(): AsyncGenerator<Uint8Array, void, undefined> {
    yield* first
    yield* { [Symbol.asyncIterator]: () => iterator }
  }
  return { magic: Buffer.concat(first).toString('hex', 0, MAGIC_BYTES), bytes: all() }
}

function decompressorFor(magic: string): Transform | undefined {
  if (magic.startsWith('1f8b')) return createGunzip({ chunkSize: PIECE_BYTES })
  // RFC 8878 section 3.1: a frame, or one that is to be skipped.
  if (magic.startsWith('28b52ffd') || /^5.2a4d18/.test(magic)) {
    const params = { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG }
    return createZstdDecompress({ chunkSize: PIECE_BYTES, params })
  }
  const [, other] = OTHERS.find(([start]) => magic.startsWith(start)) ?? []
  if (other === undefined) return undefined
  throw new ArchiveError(`the archive is compressed with ${other}: only gzip and zstd are read`)
}

function bomb(): ArchiveError {
  return new ArchiveError(`the archive unpacks to more than ${MAX_RATIO} times its size`)
}

function isOfZlib(error: unknown): error is Error & { readonly code: string } {
  if (!(error instanceof Error) || !('code' in error)) return false
  return /^(?:Z_|ZSTD_|ERR_ZSTD|ERR_ZLIB|ERR__ERROR)/.test(String(error.code))
}
