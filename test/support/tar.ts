import { gzipSync } from 'node:zlib'

const BLOCK = 512

/**
 * A gzip-compressed ustar archive (POSIX.1-1988), the same bytes for the same files: a layer that a
 * container engine can unpack. Folders on the way to a file are made by whoever unpacks it.
 */
export function tarLayer(files: Readonly<Record<string, Uint8Array | string>>): Buffer {
  return gzipSync(tar(files))
}

/** As {@link tarLayer}, not compressed. */
export function tar(files: Readonly<Record<string, Uint8Array | string>>): Buffer {
  const blocks: Buffer[] = []
  for (const [name, content] of Object.entries(files)) {
    const bytes = Buffer.from(content)
    blocks.push(header(name, bytes.length), bytes, Buffer.alloc(-bytes.length & (BLOCK - 1)))
  }
  // Two empty blocks end an archive.
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)])
}

function header(name: string, size: number): Buffer {
  if (Buffer.byteLength(name) > 100) throw new Error(`name too long for ustar: ${name}`)
  const block = Buffer.alloc(BLOCK)
  block.write(name, 0)
  block.write(octal(0o644, 7), 100)
  block.write(octal(0, 7), 108) // owner
  block.write(octal(0, 7), 116) // group
  block.write(octal(size, 11), 124)
  block.write(octal(0, 11), 136) // modified: always the epoch
  block.write(' '.repeat(8), 148) // the checksum counts itself as spaces
  block.write('0', 156) // a regular file
  block.write('ustar\x0000', 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${octal(sum, 6)}\0 `, 148)
  return block
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}
