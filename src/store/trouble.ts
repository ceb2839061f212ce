import { codeOf, DeniedFileError, NoRoomError } from './errors.ts'

/** What is wrong with the disk, in the words of the metric. */
export const TROUBLES = [
  'full',
  'inodes',
  'read_only',
  'denied',
  'io',
  'descriptors',
  'other',
] as const

export type Trouble = (typeof TROUBLES)[number]

/**
 * What it was seen at. `room`: so much could not be evicted; the disk itself was not asked.
 * `reading`: of what is here, which says nothing of writes.
 */
export type Side = 'files' | 'database' | 'room' | 'reading'

export interface Diagnosis {
  readonly trouble: Trouble
  readonly side: Side
}

const BY_CODE: ReadonlyMap<string, Trouble> = new Map<string, Trouble>([
  ['ENOSPC', 'full'],
  ['EDQUOT', 'full'],
  ['EROFS', 'read_only'],
  ['EACCES', 'denied'],
  ['EPERM', 'denied'],
  ['EIO', 'io'],
  ['EBADMSG', 'io'],
  ['EUCLEAN', 'io'],
  ['ENXIO', 'io'],
  ['ENODEV', 'io'],
  ['ESTALE', 'io'],
  ['EMFILE', 'descriptors'],
  ['ENFILE', 'descriptors'],
])

/** Extended codes begin with these. SHMSIZE is how SQLite says that its index has no room. */
const BY_SQLITE_CODE: readonly (readonly [prefix: string, trouble: Trouble])[] = [
  ['SQLITE_FULL', 'full'],
  ['SQLITE_IOERR_SHMSIZE', 'full'],
  ['SQLITE_READONLY', 'read_only'],
  ['SQLITE_IOERR', 'io'],
  ['SQLITE_PERM', 'denied'],
]

/** @returns what a refused operation tells of the disk */
export function diagnose(error: unknown): Diagnosis {
  if (error instanceof NoRoomError) {
    return { trouble: error.why === 'no_inodes' ? 'inodes' : 'full', side: 'room' }
  }
  if (error instanceof DeniedFileError) return { trouble: 'denied', side: 'reading' }
  const code = codeOf(error) ?? ''
  if (!code.startsWith('SQLITE_')) return { trouble: BY_CODE.get(code) ?? 'other', side: 'files' }
  const [, trouble = 'other'] = BY_SQLITE_CODE.find(([prefix]) => code.startsWith(prefix)) ?? []
  return { trouble, side: 'database' }
}
