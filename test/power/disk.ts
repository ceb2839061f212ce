/**
 * A file system as POSIX describes it and no better: what was not synced may be on the disk or not,
 * each change by itself. It is told what a process did, and makes the disks that a loss of power
 * could leave behind. What journals add (names that follow from a file's own fsync, an order among
 * names) is left out: whoever stands this stands those.
 */

export interface Inode {
  readonly id: number
  readonly isDirectory: boolean
  /** What was done to its bytes, in order; of a file. */
  readonly changes: FileChange[]
}

interface Recorded {
  readonly id: number
  /** When it was done, on the time line of the log. */
  readonly at: number
  /** Since when no loss of power undoes it. */
  durableAt: number
}

/** Of a file's bytes or size. */
export interface FileChange extends Recorded {
  readonly kind: 'write' | 'truncate'
  readonly inode: Inode
  /** Of a write, where; of a truncation, the size. */
  readonly offset: number
  readonly bytes: Buffer
}

/** Of names: all of them together or none, so that a rename is atomic. */
export interface NameChange extends Recorded {
  readonly kind: 'names'
  readonly entries: readonly Entry[]
}

export interface Entry {
  readonly directory: Inode
  readonly name: string
  /** `undefined`: the name is gone. */
  readonly child: Inode | undefined
}

export type Change = FileChange | NameChange

const NOTHING = Buffer.alloc(0)

/** The history of a disk, from an empty directory on. */
export class Disk {
  readonly root: Inode = { id: 0, isDirectory: true, changes: [] }
  readonly changes: Change[] = []
  readonly #names: NameChange[] = []
  /** As the running process sees them. */
  readonly #live = new Map<Inode, Map<string, Inode>>()
  #inodes = 1

  get names(): readonly NameChange[] {
    return this.#names
  }

  /** By its path below the root, as it is now. */
  find(path: string): Inode | undefined {
    let inode: Inode | undefined = this.root
    for (const name of path.split('/').filter(Boolean)) {
      inode = inode && this.#live.get(inode)?.get(name)
    }
    return inode
  }

  make(path: string, isDirectory: boolean, at: number): Inode {
    const inode: Inode = { id: this.#inodes++, isDirectory, changes: [] }
    this.#name([{ ...this.#place(path), child: inode }], at)
    return inode
  }

  remove(path: string, at: number): void {
    this.#name([{ ...this.#place(path), child: undefined }], at)
  }

  rename(from: string, to: string, at: number): void {
    const child = this.find(from)
    if (child === undefined) throw new Error(`${from} is renamed and was never made`)
    const gone = { ...this.#place(from), child: undefined }
    this.#name([gone, { ...this.#place(to), child }], at)
  }

  write(inode: Inode, offset: number, bytes: Buffer, at: number): void {
    this.#change({ kind: 'write', inode, offset, bytes, at })
  }

  truncate(inode: Inode, size: number, at: number): void {
    this.#change({ kind: 'truncate', inode, offset: size, bytes: NOTHING, at })
  }

  /** What was done before `startedAt` is durable at `endedAt`; a new name when its folder is. */
  sync(inode: Inode, startedAt: number, endedAt: number): void {
    const concerned = inode.isDirectory
      ? this.#names.filter(({ entries }) => entries.at(-1)?.directory === inode)
      : inode.changes
    for (const change of concerned) {
      if (change.at < startedAt && change.durableAt > endedAt) change.durableAt = endedAt
    }
  }

  #change(change: Omit<FileChange, 'id' | 'durableAt'>): void {
    const recorded = { ...change, ...this.#next() }
    this.changes.push(recorded)
    change.inode.changes.push(recorded)
  }

  #name(entries: readonly Entry[], at: number): void {
    for (const { directory, name, child } of entries) setEntry(this.#live, directory, name, child)
    const recorded: NameChange = { kind: 'names', entries, at, ...this.#next() }
    this.changes.push(recorded)
    this.#names.push(recorded)
  }

  #next() {
    return { id: this.changes.length, durableAt: Number.POSITIVE_INFINITY }
  }

  #place(path: string): { readonly directory: Inode; readonly name: string } {
    const slash = path.lastIndexOf('/')
    const directory = this.find(path.slice(0, Math.max(0, slash)))
    if (directory === undefined) throw new Error(`${path} is in a folder that was never made`)
    return { directory, name: path.slice(slash + 1) }
  }
}

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
  const state = new Map<string, FileState | undefined>()
  const walk = (directory: Inode, path: string) => {
    for (const [name, inode] of tree.get(directory) ?? []) {
      const below = path === '' ? name : `${path}/${name}`
      if (!inode.isDirectory) {
        state.set(below, { inode, bytes: contentAt(inode, at, fateOf) })
        continue
      }
      state.set(below, undefined)
      walk(inode, below)
    }
  }
  walk(disk.root, '')
  return state
}

function setEntry(
  tree: Map<Inode, Map<string, Inode>>,
  directory: Inode,
  name: string,
  child: Inode | undefined,
): void {
  const entries = tree.get(directory) ?? new Map<string, Inode>()
  tree.set(directory, entries)
  if (child === undefined) entries.delete(name)
  else entries.set(name, child)
}

const WHOLE: Fate = { kind: 'whole' }
/** Most files are the same in one state after the other. */
const SETTLED = new WeakMap<Inode, { readonly changes: number; readonly bytes: Buffer }>()

function contentAt(inode: Inode, at: number, fateOf: (change: Change) => Fate): Buffer {
  const done = inode.changes.filter((change) => change.at <= at)
  const isSettled = done.every(({ durableAt }) => durableAt <= at)
  const known = SETTLED.get(inode)
  if (isSettled && known?.changes === done.length) return known.bytes
  const file = new Content(done)
  for (const change of done) file.apply(change, change.durableAt <= at ? WHOLE : fateOf(change))
  if (isSettled) SETTLED.set(inode, { changes: done.length, bytes: file.bytes })
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
