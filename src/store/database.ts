import Database from 'better-sqlite3'

import { codeOf, DamagedDatabaseError, NewerSchemaError } from './errors.ts'
import { MIGRATIONS } from './migrations.ts'

/** It fixed the WAL-reset bug, which could corrupt a database that is written while it is checkpointed. */
const OLDEST_SQLITE = [3, 51, 3] as const

/** No release gets here: a version beyond it is a damaged header, not a newer schema. */
const MAX_SCHEMA_VERSION = 10_000

/** Pages that SQLite keeps. The system keeps them too, so that more would be held twice. */
const CACHE_KIB = 4096

export interface OpenedDatabase {
  readonly database: Database.Database
  /** It did not exist, or was empty. */
  readonly isNew: boolean
}

/**
 * Opens or creates the database, checks it and brings its schema up to date. This connection must
 * be the only one: the caller holds the lock of the data directory.
 *
 * @throws {NewerSchemaError} when a later release wrote it
 * @throws {DamagedDatabaseError} or SQLite's own error when it cannot be used
 */
export function openDatabase(path: string): OpenedDatabase {
  try {
    return open(path, 'normal')
  } catch (error) {
    if (!/^SQLITE_(IOERR_SHMSIZE|CANTOPEN)/.test(codeOf(error) ?? '')) throw error
    // A full disk has no room, or no inode, for the index beside the log. Nobody else opens it, so
    // memory will do.
    return open(path, 'exclusive')
  }
}

function open(path: string, locking: 'normal' | 'exclusive'): OpenedDatabase {
  const database = new Database(path, { timeout: 5000 })
  try {
    database.pragma(`locking_mode = ${locking}`)
    assertVersion(database)
    database.pragma('journal_mode = wal')
    // A database that is reopened in WAL mode would be NORMAL: the last commits could be lost.
    database.pragma('synchronous = full')
    database.pragma('foreign_keys = on')
    database.pragma(`cache_size = -${CACHE_KIB}`)
    check(database)
    return { database, isNew: migrate(database, path) }
  } catch (error) {
    database.close()
    throw error
  }
}

function assertVersion(database: Database.Database): void {
  const version = database.prepare<[], string>('select sqlite_version()').pluck().get() ?? ''
  const parts = version.split('.').map(Number)
  for (const [index, oldest] of OLDEST_SQLITE.entries()) {
    const part = parts[index] ?? 0
    if (part > oldest) return
    if (part < oldest) throw new Error(`SQLite ${version} is too old: 3.51.3 is needed`)
  }
}

function check(database: Database.Database): void {
  const found = database.pragma('quick_check(1)', { simple: true })
  if (found !== 'ok') throw new DamagedDatabaseError(`quick_check: ${String(found)}`)
}

/** Runs the steps that the database has not had, each in a transaction; true when it had none. */
function migrate(database: Database.Database, path: string): boolean {
  const version = Number(database.pragma('user_version', { simple: true }))
  const tables = database.prepare<[], number>('select count(*) from sqlite_schema').pluck().get()
  const isPlausible = version >= 0 && version <= MAX_SCHEMA_VERSION
  if (!isPlausible || (version === 0) !== (tables === 0)) {
    throw new DamagedDatabaseError(`schema version ${version} with ${tables} schema entries`)
  }
  if (version > MIGRATIONS.length) throw new NewerSchemaError(path, MIGRATIONS.length, version)
  for (const [index, step] of MIGRATIONS.entries()) {
    if (index < version) continue
    const run = database.transaction(() => {
      database.exec(step)
      database.pragma(`user_version = ${index + 1}`)
    })
    run.immediate()
  }
  return version === 0
}
