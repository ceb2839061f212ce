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

/** What is done at their start, and what only its owner's rights depend on: he reads it all the same. */
const HARMLESS: ReadonlySet<string> = new Set(['close', 'chmod', 'fchmod'])

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

  #take(original: SystemCall, base: number): void {
    const call = withoutFolders(original)
    const { name, args } = call
    if (HARMLESS.has(name)) return
    const isTaken = this.#takeOfPath(call) || this.#takeOfFile(call, base)
    if (!isTaken) throw new Error(`what ${name}(${args.join(', ')}) does is not known`)
  }

  /** @returns whether it is such a call */
  #takeOfPath({ name, args, result }: SystemCall): boolean {
    const { disk } = this
    const at = this.#at
    const [first = '', second = ''] = args
    switch (name) {
      case 'open':
        this.#opened(textOf(first), second, result)
        return true
      case 'rename':
        this.#renamed(this.#below(first), this.#below(second))
        return true
      case 'unlink':
      case 'rmdir':
        this.#onPath(first, (path) => disk.remove(path, at))
        return true
      case 'mkdir':
        this.#onPath(first, (path) => void disk.make(path, true, at))
        return true
      default:
        return false
    }
  }

  /** @returns whether it is such a call */
  #takeOfFile({ name, args, result, startedAt }: SystemCall, base: number): boolean {
    const { disk } = this
    const at = this.#at
    const [first = '', second = ''] = args
    switch (name) {
      case 'fcntl':
        if (second.startsWith('F_DUPFD')) this.#duplicated(first, result)
        return true
      case 'dup':
      case 'dup2':
      case 'dup3':
        this.#duplicated(first, result)
        return true
      case 'pwrite64':
        this.#wrote(first, bytesOf(second).subarray(0, result), args.at(-1))
        return true
      case 'pwritev':
        this.#wrote(first, vectorOf(second).subarray(0, result), args.at(-1))
        return true
      case 'ftruncate':
        this.#onFile(first, (inode) => disk.truncate(inode, Number(second), at))
        return true
      case 'fsync':
      case 'fdatasync':
        this.#onFile(first, (inode) => {
          this.syncs.push(at)
          disk.sync(inode, base + startedAt, at)
        })
        return true
      default:
        return false
    }
  }

  #duplicated(descriptor: string, copy: number): void {
    const open = this.#open.get(Number(descriptor))
    if (open !== undefined) this.#open.set(copy, open)
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
