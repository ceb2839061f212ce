import { isAbsolute, relative } from 'node:path'

import { Disk, type Inode } from './disk.ts'
import { bytesOf, type SystemCall, textOf, vectorOf } from './system-calls.ts'

/** What the process said of itself, at its place among what it did. */
export interface Marked {
  readonly at: number
  readonly text: string
}

export interface HistoryOptions {
  /** The folder that is followed: what is in it at the beginning was always there. */
  readonly root: string
  /** A file beside it: what is written to it is what the process says. */
  readonly marks: string
}

type Open = { readonly kind: 'inode'; readonly inode: Inode } | { readonly kind: 'marks' }

/** Makes a disk's history out of the system calls of one process after the other. */
export class History {
  readonly disk = new Disk()
  readonly marks: Marked[] = []
  /** When something became durable. */
  readonly syncs: number[] = []
  readonly #options: HistoryOptions
  #open = new Map<number, Open>()
  #at = 0

  constructor(options: HistoryOptions) {
    this.#options = options
  }

  /** Where the time line ends so far. */
  get end(): number {
    return this.#at
  }

  /** Takes over all that a process did; its descriptors are its own. */
  add(calls: readonly SystemCall[]): void {
    const base = this.#at
    this.#open = new Map()
    for (const { at, call, isStart } of momentsOf(calls)) {
      this.#at = base + at
      if (!isStart) this.#take(call, base)
      // The number is free for another thread as soon as the kernel has begun to close.
      else if (call.name === 'close') this.#open.delete(Number(call.args[0]))
    }
    this.#at++
  }

  #take(call: SystemCall, base: number): void {
    const { disk } = this
    const at = this.#at
    const { name, args, result } = withoutFolders(call)
    const [first = '', second = '', third = ''] = args
    switch (name) {
      case 'close':
      case 'chmod':
      case 'fchmod':
        // Whoever owns a file reads it whatever its mode is.
        return
      case 'open':
        return this.#opened(textOf(first), second, result)
      case 'dup':
      case 'dup2':
      case 'dup3':
      case 'fcntl': {
        const open = this.#open.get(Number(first))
        const isCopy = name !== 'fcntl' || second.startsWith('F_DUPFD')
        if (open !== undefined && isCopy) this.#open.set(result, open)
        return
      }
      case 'pwrite64':
        return this.#wrote(first, bytesOf(second).subarray(0, result), args.at(-1))
      case 'pwritev':
        return this.#wrote(first, vectorOf(second).subarray(0, result), args.at(-1))
      case 'ftruncate':
        return this.#onFile(first, (inode) => disk.truncate(inode, Number(second), at))
      case 'fsync':
      case 'fdatasync':
        return this.#onFile(first, (inode) => {
          this.syncs.push(at)
          disk.sync(inode, base + call.startedAt, at)
        })
      case 'rename':
        return this.#renamed(this.#below(first), this.#below(second))
      case 'unlink':
      case 'rmdir':
        return this.#onPath(first, (path) => disk.remove(path, at))
      case 'mkdir':
        return this.#onPath(first, (path) => void disk.make(path, true, at))
      default:
        throw new Error(`what ${name}(${first}, ${second}, ${third}) does is not known`)
    }
  }

  #opened(file: string, flags: string, descriptor: number): void {
    if (file === this.#options.marks) {
      this.#open.set(descriptor, { kind: 'marks' })
      return
    }
    const path = belowRoot(this.#options.root, file)
    if (path === undefined) return
    let inode = this.disk.find(path)
    if (inode === undefined) {
      // A folder that was always there, or what no loss of power brings back.
      if (!flags.includes('O_CREAT')) throw new Error(`${file} is opened and was never made`)
      inode = this.disk.make(path, false, this.#at)
    } else if (flags.includes('O_TRUNC')) this.disk.truncate(inode, 0, this.#at)
    this.#open.set(descriptor, { kind: 'inode', inode })
  }

  #wrote(descriptor: string, bytes: Buffer, offset = ''): void {
    const open = this.#open.get(Number(descriptor))
    if (open?.kind === 'marks') this.marks.push({ at: this.#at, text: bytes.toString() })
    if (open?.kind === 'inode') this.disk.write(open.inode, Number(offset), bytes, this.#at)
  }

  #renamed(from: string | undefined, to: string | undefined): void {
    if (from === undefined && to === undefined) return
    if (from === undefined || to === undefined) throw new Error('renamed across the folder')
    this.disk.rename(from, to, this.#at)
  }

  #onFile(descriptor: string, use: (inode: Inode) => void): void {
    const open = this.#open.get(Number(descriptor))
    if (open?.kind === 'inode') use(open.inode)
  }

  #onPath(arg: string, use: (path: string) => void): void {
    const path = this.#below(arg)
    if (path !== undefined) use(path)
  }

  #below(arg: string): string | undefined {
    return belowRoot(this.#options.root, textOf(arg))
  }
}

interface Moment {
  readonly at: number
  readonly call: SystemCall
  readonly isStart: boolean
}

/** A call counts from when it has returned: until then nobody may rely on it. */
function momentsOf(calls: readonly SystemCall[]): Moment[] {
  const ends = calls
    .filter(({ result }) => result >= 0)
    .map((call) => ({ at: call.endedAt, call, isStart: false }))
  const starts = calls.map((call) => ({ at: call.startedAt, call, isStart: true }))
  return [...starts, ...ends].sort((one, other) => one.at - other.at)
}

/** `renameat2(AT_FDCWD, old, AT_FDCWD, new, 0)` as `rename(old, new)`, and so on. */
function withoutFolders(call: SystemCall): SystemCall {
  const name = { openat: 'open', mkdirat: 'mkdir', unlinkat: 'unlink' }[call.name]
  if (name !== undefined) return { ...call, name, args: call.args.slice(1) }
  if (!call.name.startsWith('renameat')) return call
  const [, from = '', , to = ''] = call.args
  return { ...call, name: 'rename', args: [from, to] }
}

/** `undefined` for what is elsewhere. All that is of interest is called by its absolute name. */
function belowRoot(root: string, path: string): string | undefined {
  if (!isAbsolute(path)) return undefined
  const below = relative(root, path)
  return below.startsWith('..') ? undefined : below
}
