/** Runs commands against an admin listener, as an operator would. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { run } from '../../src/cli/run.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const TIMEOUT_MS = 20_000

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface LarderOptions {
  /** In the folder that it is started in, by name. */
  readonly files?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
  /** Default: nobody sits there. */
  readonly terminal?: Terminal
}

const NOBODY: Terminal = {
  canAsk: false,
  isWatched: false,
  ask: () => Promise.reject(new Error('there is nobody to ask')),
}

/** In this process: a new one for each command would cost more than all the rest. */
export async function larder(
  args: readonly string[],
  { files = {}, env = {}, terminal = NOBODY }: LarderOptions = {},
): Promise<Ended> {
  await using dir = await makeTempDir()
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir.path, name), text)
  const written = { stdout: '', stderr: '' }
  const io = {
    env,
    cwd: dir.path,
    stdout: { write: (text: string) => (written.stdout += text) },
    stderr: { write: (text: string) => (written.stderr += text) },
  }
  const code = await run([process.execPath, MAIN, ...args], io, terminal)
  return { code, ...written }
}

/** As a process of its own, whose standard input is no terminal. */
export async function spawnLarder(args: readonly string[]): Promise<Ended> {
  await using dir = await makeTempDir()
  const env = { PATH: process.env['PATH'], HOME: dir.path }
  const options = { cwd: dir.path, env, timeout: TIMEOUT_MS }
  return await new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, stdout, stderr })
    }).stdin?.end()
  })
}
