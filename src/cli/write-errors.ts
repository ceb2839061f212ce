import { stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'

import { ExitError } from './exit.ts'
import { formatBytes } from './format.ts'

const EXIT_FAILURE = 1
const EXIT_NO_ROOM = 7

/**
 * One line for what a disk refuses; everything else is given back.
 *
 * @param path of what was being written
 */
export function writeExitError(error: unknown, path: string): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (!/^E[A-Z]+$/.test(code)) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const message = `no room for ${path}: what was written of it is removed again`
    return new ExitError(EXIT_NO_ROOM, message, { cause: error })
  }
  if (code === 'EFBIG') {
    // FAT takes up to 4 GiB less one byte.
    const message = `${path} is larger than its file system takes: say --split 2GiB`
    return new ExitError(EXIT_NO_ROOM, message, { cause: error })
  }
  return new ExitError(EXIT_FAILURE, `cannot write ${path}: ${code}`, { cause: error })
}

/**
 * Before hours of work for nothing.
 *
 * @throws {ExitError} 7 unless there is room for so many bytes where `path` will be
 */
export async function requireRoom(path: string, bytes: number): Promise<void> {
  const { bsize, bavail } = await statfs(await nearest(path))
  const available = bsize * bavail
  if (available >= bytes) return
  const message = `no room for ${path}: it needs ${formatBytes(bytes)}, and there are`
  throw new ExitError(EXIT_NO_ROOM, `${message} ${formatBytes(available)}`)
}

/** What of it is there already. */
async function nearest(path: string): Promise<string> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  )
  return isThere || dirname(path) === path ? path : await nearest(dirname(path))
}
