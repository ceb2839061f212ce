import { accessSync, constants, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'

import { codeOf, DataDirectoryError, DataDirectoryInUseError } from './errors.ts'
import { makeDirectorySync } from './files.ts'

export interface Lock {
  /** Lets another process in. A second call does nothing. */
  release(): void
}

/**
 * Makes this process the only one on a data directory, which is created if need be. The kernel
 * frees the lock with the process, however that ends: there is no stale lock to remove by hand.
 *
 * It is SQLite's own lock on an empty database: Node has no lock of files.
 *
 * @throws {DataDirectoryInUseError} at once, when another process has it
 * @throws {DataDirectoryError} when the directory cannot be written
 */
export function acquireLock(path: string): Lock {
  const file = join(path, 'lock')
  try {
    makeDirectorySync(path)
    return tryLock(file)
  } catch (error) {
    if (codeOf(error)?.startsWith('SQLITE_BUSY')) throw new DataDirectoryInUseError(path)
    if (codeOf(error) !== 'SQLITE_NOTADB') throw new DataDirectoryError(path, causeOf(error, path))
  }
  try {
    // Something wrote into it. Nobody holds it, or SQLite would have said "busy" before reading.
    truncateSync(file)
    return tryLock(file)
  } catch (error) {
    if (codeOf(error)?.startsWith('SQLITE_BUSY')) throw new DataDirectoryInUseError(path)
    throw new DataDirectoryError(path, error)
  }
}

function tryLock(file: string): Lock {
  const database = new Database(file, { timeout: 0 })
  try {
    database.pragma('locking_mode = exclusive')
    // A journal in a file would need space, of which a full disk has none.
    database.pragma('journal_mode = memory')
    database.exec('begin exclusive')
  } catch (error) {
    database.close()
    throw error
  }
  return { release: () => void database.close() }
}

/** SQLite says of a file only that it cannot be opened; the kernel says why it cannot be written. */
function causeOf(error: unknown, path: string): unknown {
  try {
    const stats = statSync(path, { throwIfNoEntry: false })
    if (stats?.isDirectory() === false) return new Error('it is a file, not a folder')
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return error
  } catch (cause) {
    return cause
  }
}
