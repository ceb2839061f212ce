import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'

/** A credential is a few KiB; who prints more than that is not a credential program. */
const MAX_OUTPUT_BYTES = 1024 * 1024

/** All of Larder's environment that programs get: it may hold secrets of others. */
export interface ProgramEnvironment {
  readonly path: string | undefined
  readonly home: string | undefined
}

export interface ProgramRun {
  /** For errors. */
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  /** Beside PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>
  /** For its standard input. */
  readonly input: string
  readonly timeoutMs: number
}

export interface ProgramResult {
  readonly exitCode: number
  readonly stdout: string
}

/**
 * Runs programs that give out credentials: without a shell, in a process group of their own, with
 * bounds on time and output. What they print is never part of an error: it may be a secret.
 */
export class Programs {
  readonly #environment: ProgramEnvironment
  readonly #running = new Set<() => void>()

  constructor(environment: ProgramEnvironment) {
    this.#environment = environment
  }

  /** The file of a program in PATH; `undefined` when there is none that may be executed. */
  async find(name: string): Promise<string | undefined> {
    // A relative entry would depend on where Larder was started.
    const folders = this.#environment.path?.split(':').filter((folder) => isAbsolute(folder)) ?? []
    for (const folder of folders) {
      const file = join(folder, name)
      if (await isExecutable(file)) return file
    }
    return undefined
  }

  /** @throws {Error} when it cannot be started, does not end in time, prints too much or is killed */
  async run(run: ProgramRun): Promise<ProgramResult> {
    const { path, home } = this.#environment
    const child = spawn(run.file, [...run.args], {
      cwd: '/',
      env: {
        ...(path === undefined ? {} : { PATH: path }),
        ...(home === undefined ? {} : { HOME: home }),
        ...run.env,
      },
      // A group of its own, so that what a script started ends with it.
      detached: true,
      shell: false,
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    return await this.#supervise(child, run)
  }

  /** Ends what still runs. */
  close(): void {
    for (const stop of this.#running) stop()
  }

  async #supervise(child: ChildProcess, run: ProgramRun): Promise<ProgramResult> {
    const { name, file, input, timeoutMs } = run
    const { promise, resolve, reject } = Promise.withResolvers<ProgramResult>()
    const chunks: Buffer[] = []
    let size = 0
    const fail = (what: string, cause?: unknown) => {
      endGroup(child)
      child.stdout?.destroy()
      reject(new Error(`${name} ${what}`, { cause }))
    }
    const timer = setTimeout(() => fail(`did not end within ${timeoutMs / 1000} s`), timeoutMs)
    const stop = () => fail('was ended, because Larder stops')
    this.#running.add(stop)
    child.once('error', (error: NodeJS.ErrnoException) => {
      fail(`cannot be started: ${file}: ${startProblem(error.code)}`, error)
    })
    child.stdout?.on('data', (chunk: Buffer) => {
      size += chunk.length
      chunks.push(chunk)
      if (size > MAX_OUTPUT_BYTES) fail(`printed more than ${MAX_OUTPUT_BYTES} bytes`)
    })
    // Some do not read what they are sent.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
    child.once('close', (exitCode, signal) => {
      if (exitCode === null) fail(`was ended by ${signal}`)
      else resolve({ exitCode, stdout: Buffer.concat(chunks, size).toString('utf8') })
    })
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#running.delete(stop)
    }
  }
}

function startProblem(code = 'unknown error'): string {
  if (code === 'ENOENT') return 'no such file, or its interpreter is missing (ENOENT)'
  return code === 'EACCES' ? 'it is not executable (EACCES)' : code
}

function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Everyone in it has ended, which is what was wanted.
  }
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK)
    return (await stat(file)).isFile()
  } catch {
    return false
  }
}
