import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { lstat, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { type DiskState, stateAt } from './disk-state.ts'
import { History } from './history.ts'
import { parseSystemCalls } from './system-calls.ts'

/** What is not here and changes a file is seen by the comparison at the end. */
const CALLS = [
  'openat,open,creat,close,dup,dup2,dup3,fcntl',
  'pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate',
  'fsync,fdatasync,sync_file_range',
  'rename,renameat,renameat2,link,linkat,symlink,symlinkat',
  'unlink,unlinkat,mkdir,mkdirat,rmdir,chmod,fchmod',
].join(',')
const VICTIM = fileURLToPath(new URL('victim.ts', import.meta.url))
/** More than is ever written at once. */
const MAX_STRING = 8 * 1024 * 1024
const TIMEOUT_MS = 120_000

/** What the victim does in each of its lives, the first of which ends by SIGKILL. */
export const LIVES = ['first', 'second'] as const

/**
 * Runs the whole workload under strace, in `path`, where the logs stay.
 *
 * @throws when strace is not installed, or the victim fails
 */
export async function record(path: string): Promise<void> {
  for (const life of LIVES) {
    const args = ['-f', '--seccomp-bpf', '-qq', '-v', '-xx', '-s', String(MAX_STRING)]
    const options = ['-e', `trace=${CALLS}`, '-e', 'signal=none', '-o', logOf(path, life)]
    const victim = [process.execPath, VICTIM, path, life]
    const child = spawn('strace', [...args, ...options, ...victim], {
      // What goes through io_uring is no system call of its own.
      env: { PATH: process.env['PATH'], UV_USE_IO_URING: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
    })
    const said: Buffer[] = []
    child.stderr.on('data', (chunk: Buffer) => said.push(chunk))
    const ended = once(child, 'close').catch((cause: unknown) => {
      throw new Error('strace is not installed: run npm run e2e:setup', { cause })
    })
    const [code, signal] = (await ended) as [number | null, string | null]
    // strace ends as its child did.
    const isGood = life === 'first' ? signal === 'SIGKILL' : code === 0
    if (!isGood) throw new Error(`the ${life} life ended with ${code ?? signal}:\n${said.join('')}`)
  }
}

/** The history of the disk that `record` left the logs of. */
export async function readHistory(path: string): Promise<History> {
  const history = new History({ root: join(path, 'disk'), marks: join(path, 'marks') })
  for (const life of LIVES) {
    const lines: string[] = []
    const input = createReadStream(logOf(path, life), 'latin1')
    for await (const line of createInterface({ input })) lines.push(line)
    history.add(parseSystemCalls(lines))
  }
  return history
}

/**
 * Whether the history is the whole one: all of it together makes the very files that are there.
 *
 * @returns the paths that differ
 */
export async function differences(path: string, history: History): Promise<readonly string[]> {
  const state = stateAt(history.disk, history.end, () => ({ kind: 'whole' }))
  const root = join(path, 'disk')
  const there = await readdir(root, { recursive: true })
  const all = new Set([...there, ...state.keys()])
  const different: string[] = []
  for (const name of all) if (!(await isSame(root, name, state))) different.push(name)
  return different
}

async function isSame(root: string, name: string, state: DiskState): Promise<boolean> {
  const stats = await lstat(join(root, name)).catch(() => undefined)
  if (stats === undefined || !state.has(name)) return false
  const file = state.get(name)
  if (stats.isDirectory() || file === undefined) return stats.isDirectory() && file === undefined
  // It is memory that is shared, and worth nothing after a loss of power.
  if (name.endsWith('-shm')) return true
  return file.bytes.equals(await readFile(join(root, name)))
}

function logOf(path: string, life: string): string {
  return join(path, `${life}.strace`)
}
