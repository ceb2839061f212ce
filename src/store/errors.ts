/** Another process works on the data directory: two would undo each other's work. */
export class DataDirectoryInUseError extends Error {
  override readonly name = 'DataDirectoryInUseError'
  readonly path: string

  constructor(path: string, options?: ErrorOptions) {
    super(`the data directory ${path} is in use by another process; stop it first`, options)
    this.path = path
  }
}

/** The data directory cannot be created, read or written. */
export class DataDirectoryError extends Error {
  override readonly name = 'DataDirectoryError'
  readonly path: string

  constructor(path: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    super(`cannot use the data directory ${path}: ${reason}`, { cause })
    this.path = path
  }
}

/** A later release wrote the database: what it means is not known here, so it is left as it is. */
export class NewerSchemaError extends Error {
  override readonly name = 'NewerSchemaError'
  readonly expected: number
  readonly actual: number

  constructor(path: string, expected: number, actual: number) {
    super(
      `${path} has schema version ${actual}, and this release knows versions up to ${expected}: ` +
        'start the release that wrote it, or move the file away to have it built anew from the blobs',
    )
    this.expected = expected
    this.actual = actual
  }
}

/** The database is not what Larder wrote. It can be built anew from the files. */
export class DamagedDatabaseError extends Error {
  override readonly name = 'DamagedDatabaseError'
}

/** A file ends before the bytes that it is known to have. */
export class TruncatedFileError extends Error {
  override readonly name = 'TruncatedFileError'

  constructor(path: string, actual: number, expected: number) {
    super(`${path} ends at byte ${actual}, expected ${expected}`)
  }
}

/** A file that is there may not be read: its bytes may be right, and whoever owns it can tell. */
export class DeniedFileError extends Error {
  override readonly name = 'DeniedFileError'
  readonly code: string | undefined

  constructor(path: string, cause: unknown) {
    super(`${path} may not be read: check its owner and mode`, { cause })
    this.code = codeOf(cause)
  }
}

/** `ENOENT` and the like; `undefined` of what is no system error. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/**
 * Why there is no room. `too_large`: for the whole cache; `unknown_size`: too much of what has no
 * size; `starting`: it is not known yet what is here; `no_room`, `no_inodes`: nothing that may go.
 */
export type NoRoomReason = 'too_large' | 'unknown_size' | 'starting' | 'no_room' | 'no_inodes'

/** What is to be stored does not fit, and not enough may be removed for it. */
export class NoRoomError extends Error {
  override readonly name = 'NoRoomError'
  readonly bytes: number
  readonly why: NoRoomReason

  /** @param bytes how much it wanted */
  constructor(bytes: number, why: NoRoomReason, reason: string) {
    super(`no room for ${bytes} bytes: ${reason}`)
    this.bytes = bytes
    this.why = why
  }
}

/** The disk refuses writes, so none is tried until it is known to take them again. */
export class StoreRestingError extends Error {
  override readonly name = 'StoreRestingError'

  /** @param trouble why it refuses them */
  constructor(trouble: string) {
    super(`nothing is stored at present (${trouble})`)
  }
}

/** It is pinned, so it is removed only by force. */
export class PinnedError extends Error {
  override readonly name = 'PinnedError'
  readonly reference: string

  constructor(reference: string) {
    super(`${reference} is pinned: unpin it first, or purge it by force`)
    this.reference = reference
  }
}

/** The database has no room, or may not be written: reading goes on. */
export function isRefusedWrite(error: unknown): boolean {
  return /^SQLITE_(FULL|READONLY|IOERR|CANTOPEN)/.test(codeOf(error) ?? '')
}
