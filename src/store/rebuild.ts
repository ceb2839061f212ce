import { existsSync, lstatSync, renameSync, statfsSync } from 'node:fs'
import { join } from 'node:path'

import type { Logger } from '../log.ts'
import type { ClockRecord } from './catalog/clock.ts'
import { SqliteCatalog } from './catalog.ts'
import { openDatabase } from './database.ts'
import { codeOf, DamagedDatabaseError, DataDirectoryError } from './errors.ts'
import type { FailAt } from './failpoints.ts'
import type { BlobStore } from './ports.ts'
import { type Reconciled, reconcile } from './reconcile.ts'

export interface OpenCatalogOptions {
  /** The data directory. The caller holds its lock. */
  readonly path: string
  readonly blobs: Pick<BlobStore, 'digests' | 'stat' | 'open'>
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** The wall clock, for the names of what is moved aside; epoch milliseconds. */
  readonly now?: () => number
  /**
   * Begins the time line that everything stored is dated by, where it was when it was last written
   * down; default: the wall clock.
   */
  readonly beginTime?: (last: ClockRecord | undefined) => () => number
  readonly failAt?: FailAt
  /** Throws while the disk refuses writes; default: it never does. */
  readonly assertWritable?: () => void
}

export interface OpenedCatalog {
  readonly catalog: SqliteCatalog
  /** Settles when the catalog agrees with the files. Never rejects: a failure is logged. */
  readonly rebuilt: Promise<void>
}

/** The database, and what SQLite keeps beside it. */
const SUFFIXES = ['', '-wal', '-shm', '-journal'] as const

/**
 * Opens the catalog. The files are the truth: a database that cannot be read is moved aside and a
 * new one is filled from them, while digests are already served.
 *
 * @throws {NewerSchemaError} when a later release wrote the database
 * @throws {DataDirectoryError} when its disk has no room or inode left for it
 */
export function openCatalog(options: OpenCatalogOptions): OpenedCatalog {
  const { path, blobs, logger, now = Date.now, beginTime } = options
  const file = join(path, 'larder.db')
  if (!existsSync(file) && existsSync(`${file}-wal`)) {
    // It would be taken for that of the new database, and hold only the last of what was lost.
    const kept = moveAside(file, now())
    logger.warn({ kept }, 'the database is missing: building a new one from the blobs')
  }
  const { catalog, isNew } = openOrReplace(file, now, options)
  const time = beginTime?.(catalog.getClock()) ?? now
  const rebuilt = reconcile({ catalog, blobs, now: time }).then(
    (done) => logDone(logger, isNew, done),
    (error: unknown) => {
      if (catalog.isOpen) logger.warn({ err: error }, 'the database may lack cached blobs')
    },
  )
  return { catalog, rebuilt }
}

interface Opened {
  readonly catalog: SqliteCatalog
  readonly isNew: boolean
}

function openOrReplace(file: string, now: () => number, options: OpenCatalogOptions): Opened {
  try {
    return tryOpen(file, options)
  } catch (error) {
    if (!isDamage(error, file)) throw explained(error, options.path)
    const kept = moveAside(file, now())
    const reason = error instanceof Error ? error.message : String(error)
    const message = 'the database is damaged: building a new one from the blobs'
    options.logger.warn({ kept, reason }, message)
    return tryOpen(file, options)
  }
}

function tryOpen(file: string, { failAt, assertWritable }: OpenCatalogOptions): Opened {
  const { database, isNew } = openDatabase(file)
  try {
    return { catalog: new SqliteCatalog(database, failAt, assertWritable), isNew }
  } catch (error) {
    database.close()
    throw error
  }
}

/** SQLite says only that it cannot open a file, of whichever it needs, or that something is full. */
function explained(error: unknown, path: string): unknown {
  if (codeOf(error)?.startsWith('SQLITE_FULL')) {
    const message = 'its disk has no room for the database: free space there'
    return new DataDirectoryError(path, new Error(message, { cause: error }))
  }
  if (!codeOf(error)?.startsWith('SQLITE_CANTOPEN')) return error
  const { files, ffree } = statfsSync(path)
  if (files === 0 || ffree > 0) return error
  const message = 'its disk has no inode left for the log of the database: delete files there'
  return new DataDirectoryError(path, new Error(message, { cause: error }))
}

/** What a new database would cure: not a full disk, nor a directory that cannot be written. */
function isDamage(error: unknown, file: string): boolean {
  if (error instanceof DamagedDatabaseError) return true
  const code = codeOf(error) ?? ''
  if (/^SQLITE_(CORRUPT|NOTADB|FORMAT|IOERR_SHORT_READ)/.test(code)) return true
  // Our own statements do not fit the tables: the schema is not what the version says.
  if (code === 'SQLITE_ERROR') return true
  return code.startsWith('SQLITE_') && SUFFIXES.some((suffix) => isStrange(file + suffix))
}

function isStrange(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === false
}

/** The suffixes stay in place, so that `sqlite3` can open what was moved. */
function moveAside(file: string, at: number): string {
  const target = `${file}.corrupt-${at}`
  for (const suffix of SUFFIXES) {
    const stats = lstatSync(file + suffix, { throwIfNoEntry: false })
    if (stats !== undefined) renameSync(file + suffix, target + suffix)
  }
  return target
}

function logDone(logger: Pick<Logger, 'info'>, isNew: boolean, done: Reconciled): void {
  const { adopted, dropped } = done
  if (adopted === 0 && dropped === 0) return
  const message = isNew
    ? 'database built from the blobs'
    : 'database brought in line with the blobs'
  logger.info({ adopted, dropped }, message)
}
