/** What begins an archive, by its bytes: names lie. */
const ARCHIVES: readonly (readonly [offset: number, hex: string])[] = [
  [0, '1f8b'],
  [0, '28b52ffd'],
  [0, '425a68'],
  [0, '04224d18'],
  [0, 'fd377a585a00'],
  [0, '504b0304'],
  [257, '7573746172'],
]

/** A source that is no text, with what to do about it. */
export class NoTextError extends Error {
  override readonly name = 'NoTextError'
}

/**
 * UTF-8, or UTF-16 with its mark, which is what PowerShell redirects to. The mark is left out.
 *
 * @throws {NoTextError}
 */
export function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  refuseArchive(buffer)
  const mark = buffer.toString('hex', 0, 2)
  const encoding = mark === 'fffe' ? 'utf-16le' : mark === 'feff' ? 'utf-16be' : 'utf-8'
  if (encoding === 'utf-8' && buffer.includes(0)) throw new NoTextError('this is not a text')
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(buffer)
  } catch (cause) {
    throw new NoTextError('this is not a text in UTF-8', { cause })
  }
}

/**
 * By its first bytes, so that nobody reads gigabytes to be told.
 *
 * @throws {NoTextError}
 */
export function refuseArchive(bytes: Uint8Array): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!ARCHIVES.some(([offset, hex]) => startsWith(buffer, offset, hex))) return
  throw new NoTextError('this is an archive: use larder import')
}

function startsWith(buffer: Buffer, offset: number, hex: string): boolean {
  return buffer.toString('hex', offset, offset + hex.length / 2) === hex
}
