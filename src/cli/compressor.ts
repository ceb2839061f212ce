import { pipeline, Readable, type Transform } from 'node:stream'
import { constants, createGzip, createZstdCompress } from 'node:zlib'

import { inBlocks } from './blocks.ts'

export type Compression = 'gzip' | 'zstd'

/** What a compressor gives and takes at a time. */
const CHUNK_BYTES = 256 * 1024
/** Layers are compressed already: more effort makes nothing smaller. */
const GZIP_LEVEL = 1
const ZSTD_LEVEL = 3

/**
 * The same bytes in give the same bytes out with the same release of Node.js, in whatever pieces they
 * come: a compressor gets the same blocks each time. Neither a time nor a name is in the header.
 */
export function compress(
  pieces: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncIterable<Uint8Array> {
  return through(inBlocks(pieces), compression === 'gzip' ? gzip() : zstd())
}

/** What is read of the one that is returned is all that is taken of `pieces`. */
export async function* through(
  pieces: AsyncIterable<Uint8Array>,
  transform: Transform,
): AsyncGenerator<Uint8Array, void, undefined> {
  // A failure of either end destroys the other, and is thrown here.
  pipeline(
    Readable.from(pieces, { objectMode: true, highWaterMark: 1 }),
    transform,
    () => undefined,
  )
  yield* transform as AsyncIterable<Uint8Array>
}

function gzip(): Transform {
  return createGzip({ level: GZIP_LEVEL, chunkSize: CHUNK_BYTES })
}

/** By one thread: with `ZSTD_c_nbWorkers` Node.js 26 ends the stream before all of it was given. */
function zstd(): Transform {
  const params = {
    [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL,
    [constants.ZSTD_c_checksumFlag]: 1,
  }
  return createZstdCompress({ params, chunkSize: CHUNK_BYTES })
}
