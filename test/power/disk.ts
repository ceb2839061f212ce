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

interface Settled {
  readonly changes: number
  readonly bytes: Buffer
}

const NOTHING = Buffer.alloc(0)

/** The history of a disk, from an empty directory on. */
export class Disk {
  readonly root: Inode = { id: 0, isDirectory: true, changes: [] }
  readonly changes: Change[] = []
  readonly #names: NameChange[] = []
  /** As the running process sees them. */
  readonly #live = new Map<Inode, Map<string, Inode>>()
  /** Of files of which nothing was pending: most are the same in one state after the other. */
  readonly settled = new WeakMap<Inode, Settled>()
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

/** `undefined` takes the name away. */
export function setEntry(
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
