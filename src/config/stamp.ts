import type { BigIntStats } from 'node:fs'

/** What tells one state of a file from the next without reading it. */
export interface FileStamp {
  /** Another one when the file, or a symbolic link on the way to it, was replaced. */
  readonly ino: bigint
  /** Bytes. */
  readonly size: bigint
  /** Nanoseconds since 1970: two writes can fall into one millisecond. */
  readonly mtimeNs: bigint
}

export function stampOf({ ino, size, mtimeNs }: BigIntStats): FileStamp {
  return { ino, size, mtimeNs }
}

/** Absent is the same as absent. */
export function isSameStamp(a: FileStamp | undefined, b: FileStamp | undefined): boolean {
  return a?.ino === b?.ino && a?.size === b?.size && a?.mtimeNs === b?.mtimeNs
}
