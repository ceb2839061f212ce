import { type FileHandle, open } from 'node:fs/promises'

/** Smaller pieces would cost more promises than bytes. */
const PIECE_BYTES = 1024 * 1024
/** One that is sent, one that is held back, one that is read meanwhile, and one more. */
const PIECES = 4

/**
 * The bytes of a file, in memory that is used again: a piece stays as it is while the two after it
 * are asked for. Memory of its own for each would take longer to get than a piece to read.
 *
 * @param limit bytes; what a file has grown by since is not read
 */
export async function* readPieces(
  path: string,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<Buffer, void, undefined> {
  const handle = await open(path)
  try {
    const pieces: Buffer[] = []
    let left = limit
    for (let number = 0; left > 0; number = (number + 1) % PIECES) {
      const memory = pieces[number] ?? Buffer.allocUnsafeSlow(PIECE_BYTES)
      pieces[number] = memory
      const piece = memory.subarray(0, left)
      const filled = await fill(piece, handle)
      if (filled > 0) yield piece.subarray(0, filled)
      if (filled < piece.length) return
      left -= filled
    }
  } finally {
    await handle.close()
  }
}

/** What is no file gives less at a time. @returns fewer bytes than fit only at the end */
async function fill(piece: Buffer, handle: FileHandle): Promise<number> {
  let filled = 0
  while (filled < piece.length) {
    const { bytesRead } = await handle.read(piece, filled, piece.length - filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}
