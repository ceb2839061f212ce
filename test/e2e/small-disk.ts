import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { statfsSync } from 'node:fs'
import { mkdir, open, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { type LarderOptions, type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { run } from './programs.ts'

export interface SmallDiskOptions extends LarderOptions {
  /** As mount(8) has it: `24m`. */
  readonly size: string
  readonly inodes?: number
  /** Run on the disk before Larder starts, as `sh` takes it; the working directory is the disk. */
  readonly prepare?: string
}

/** Larder with a tmpfs for its data, in a mount namespace that nobody else is in. */
export interface SmallDisk extends AsyncDisposable {
  readonly larder: RunningLarder
  /** The disk, as it is reached from outside. */
  readonly path: string
  readonly dataDir: string
  freeBytes(): number
  /** Another program's file takes all but so many bytes. */
  fill(leave?: number): Promise<void>
  /** Other programs' files take all but so many inodes. */
  fillInodes(leave?: number): Promise<void>
  /** Those files are deleted. */
  clear(): Promise<void>
  /** Of what Larder opens from now on; what it has open stays writable. */
  makeReadOnly(): Promise<void>
  makeWritable(): Promise<void>
}

const CHUNK = 256 * 1024
/** Neither a network nor a user of its own where that is not needed. */
const UNSHARE = process.getuid?.() === 0 ? ['unshare', '-m'] : ['unshare', '-Urm']
const MOUNT = 'mount -t tmpfs -o "$1" larder "$2" && cd "$2" && eval "$3" && shift 3 && exec "$@"'

export async function startOnSmallDisk(options: SmallDiskOptions): Promise<SmallDisk> {
  const { size, inodes, prepare = ':', ...rest } = options
  const dir = await makeTempDir('larder-e2e-disk-')
  const mount = join(dir.path, 'disk')
  await mkdir(mount)
  const settings = inodes === undefined ? `size=${size}` : `size=${size},nr_inodes=${inodes}`
  const within = [...UNSHARE, 'sh', '-c', MOUNT, 'sh', settings, mount, prepare]
  const larder = await startLarder({ ...rest, dataDir: join(mount, 'data'), within }).catch(
    async (error) => {
      await dir.remove()
      throw error
    },
  )
  const path = join(`/proc/${larder.pid}/root`, mount)
  const fillers = join(path, 'others')
  await mkdir(fillers, { recursive: true })
  const inside = (...args: string[]) => run('nsenter', [...enter(larder.pid), 'mount', ...args])
  return {
    larder,
    path,
    dataDir: join(path, 'data'),
    freeBytes: () => freeBytes(path),
    async fill(leave = 0) {
      const handle = await open(join(fillers, `bytes${randomBytes(4).toString('hex')}`), 'w')
      try {
        for (let left = freeBytes(path) - leave; left > 0; left = freeBytes(path) - leave) {
          await handle.write(Buffer.alloc(Math.min(CHUNK, left))).catch(unlessFull)
        }
      } finally {
        await handle.close()
      }
    },
    async fillInodes(leave = 0) {
      for (let at = 0; statfsSync(path).ffree > leave; at++) {
        await writeFile(join(fillers, `inode${at}`), '').catch(unlessFull)
      }
    },
    async clear() {
      for (const name of await readdir(fillers)) await rm(join(fillers, name))
    },
    async makeReadOnly() {
      // The disk itself cannot be, while the database is open for writing.
      await inside('--bind', mount, mount)
      await inside('-o', 'remount,bind,ro', mount)
    },
    makeWritable: async () => void (await run('nsenter', [...enter(larder.pid), 'umount', mount])),
    [Symbol.asyncDispose]: async () => {
      const code = await larder.close()
      await dir.remove()
      assert.equal(code, 0, 'larder ends with 0 on SIGTERM')
    },
  }
}

/** Larder may take the last of it first. */
function unlessFull(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOSPC') throw error
}

function enter(pid: number): string[] {
  const user = process.getuid?.() === 0 ? [] : ['-U', '--preserve-credentials']
  return ['-t', String(pid), ...user, '-m']
}

function freeBytes(path: string): number {
  const { bsize, bavail } = statfsSync(path)
  return bsize * bavail
}
