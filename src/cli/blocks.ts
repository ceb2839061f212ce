/** As much as is written at a time: smaller pieces would cost more promises than bytes. */
export const BLOCK_BYTES = 1024 * 1024

/** The same pieces, as many together as there have to be for {@link BLOCK_BYTES}. Nothing is copied. */
export async function* inBatches(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<readonly Uint8Array[], void, undefined> {
  let batch: Uint8Array[] = []
  let bytes = 0
  for await (const piece of pieces) {
    batch.push(piece)
    bytes += piece.length
    if (bytes < BLOCK_BYTES) continue
    yield batch
    batch = []
    bytes = 0
  }
  if (batch.length > 0) yield batch
}

/**
 * The same bytes in blocks of exactly {@link BLOCK_BYTES}, the last of what is left: for what may
 * give something else for other pieces.
 */
export async function* inBlocks(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer, void, undefined> {
  let block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  let filled = 0
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + BLOCK_BYTES - filled)
      block.set(part, filled)
      at += part.length
      filled += part.length
      if (filled < BLOCK_BYTES) continue
      yield block
      block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
      filled = 0
    }
  }
  if (filled > 0) yield block.subarray(0, filled)
}
