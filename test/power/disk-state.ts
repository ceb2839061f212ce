import { type Change, type Disk, type FileChange, type Inode, setEntry } from './disk.ts'

/** What of a file's change is on the disk. */
export type Fate =
  | { readonly kind: 'whole' | 'lost' }
  /** The size has grown, the bytes have not come. */
  | { readonly kind: 'zeros' }
  /** Only those sectors for which it says so. */
  | { readonly kind: 'torn'; readonly sector: number; readonly isKept: (index: number) => boolean }

/** A file's path below the root, and its bytes. */
export type DiskState = ReadonlyMap<string, FileState | undefined>

export interface FileState {
  readonly inode: Inode
  readonly bytes: Buffer
}

/**
 * The disk when the power fails at `at`; a folder is `undefined`.
 *
 * @param fateOf asked of each change that is not durable by then
 */
export function stateAt(disk: Disk, at: number, fateOf: (change: Change) => Fate): DiskState {
  const tree = new Map<Inode, Map<string, Inode>>()
  for (const change of disk.names) {
    if (change.at > at) break
    if (change.durableAt > at && fateOf(change).kind === 'lost') continue
    for (const { directory, name, child } of change.entries) setEntry(tree, directory, name, child)
  }
  const contentOf = (inode: Inode) => contentAt(disk, inode, at, fateOf)
  const state = new Map<string, FileState | undefined>()
  const walk = (directory: Inode, path: string) => {
    for (const [name, inode] of tree.get(directory) ?? []) {
      const below = path === '' ? name : `${path}/${name}`
      if (!inode.isDirectory) {
        state.set(below, { inode, bytes: contentOf(inode) })
        continue
      }
      state.set(below, undefined)
      walk(inode, below)
    }
  }
  walk(disk.root, '')
  return state
}

const WHOLE: Fate = { kind: 'whole' }

function contentAt(disk: Disk, inode: Inode, at: number, fateOf: (change: Change) => Fate): Buffer {
  const done = inode.changes.filter((change) => change.at <= at)
  const isSettled = done.every(({ durableAt }) => durableAt <= at)
  const known = disk.settled.get(inode)
  if (isSettled && known?.changes === done.length) return known.bytes
  const file = new Content(done)
  for (const change of done) file.apply(change, change.durableAt <= at ? WHOLE : fateOf(change))
  if (isSettled) disk.settled.set(inode, { changes: done.length, bytes: file.bytes })
  return file.bytes
}

class Content {
  readonly #buffer: Buffer
  #size = 0

  constructor(changes: readonly FileChange[]) {
    const ends = changes.map(({ offset, bytes }) => offset + bytes.length)
    this.#buffer = Buffer.alloc(Math.max(0, ...ends))
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#size)
  }

  apply({ kind, offset, bytes }: FileChange, fate: Fate): void {
    if (fate.kind === 'lost') return
    if (kind === 'truncate') {
      if (offset < this.#size) this.#buffer.fill(0, offset, this.#size)
      this.#size = offset
      return
    }
    if (fate.kind === 'whole') bytes.copy(this.#buffer, offset)
    if (fate.kind === 'torn') this.#tear(offset, bytes, fate.sector, fate.isKept)
    this.#size = Math.max(this.#size, offset + bytes.length)
  }

  /** Sectors are those of the disk, not of the write. */
  #tear(offset: number, bytes: Buffer, sector: number, isKept: (index: number) => boolean): void {
    for (let from = offset; from < offset + bytes.length; ) {
      const index = Math.floor(from / sector)
      const to = Math.min((index + 1) * sector, offset + bytes.length)
      if (isKept(index)) bytes.copy(this.#buffer, from, from - offset, to - offset)
      from = to
    }
  }
}
