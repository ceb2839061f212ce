import { createHash, timingSafeEqual } from 'node:crypto'
import { open } from 'node:fs/promises'

/** What can be sent in a header, and not be guessed. RFC 6750 section 2.1 allows less than this. */
const TOKEN = /^[\x21-\x7e]{16,4096}$/
/** A file of a token has no more; a device given by mistake has no end. */
const MAX_FILE_BYTES = 8192

/** The file of `admin.tokenFile` holds nothing that can be used. Its message names no part of it. */
export class TokenFileError extends Error {
  override readonly name = 'TokenFileError'
}

/**
 * The token that a file holds, without the white space around it. It is read whenever it is needed,
 * so that a new one counts at once: changes are rare.
 *
 * @throws {TokenFileError}
 */
export async function readTokenFile(file: string): Promise<string> {
  const text = await readStart(file)
  const token = text.trim()
  if (TOKEN.test(token)) return token
  const fault = /^[\x21-\x7e]*$/.test(token)
    ? `its token has ${token.length} characters, and at least 16 (at most 4096) are needed`
    : 'its token has spaces or characters that are not ASCII'
  throw new TokenFileError(`${fault}: openssl rand -hex 32 makes a good one`)
}

/** Takes as long for a wrong token as for the right one. */
export function isSameToken(expected: string, actual: string): boolean {
  return timingSafeEqual(sha256(expected), sha256(actual))
}

async function readStart(file: string): Promise<string> {
  try {
    await using handle = await open(file, 'r')
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_FILE_BYTES), 0, MAX_FILE_BYTES)
    return buffer.toString('utf8', 0, bytesRead)
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new TokenFileError(`it cannot be read (${reason})`, { cause: error })
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
