import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

/** Debian keeps some of the programs in sbin, which is not on every user's PATH. */
const SEARCH_PATH = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`

/** Runs a program to its end and gives what it wrote to standard output. Throws when it fails. */
export async function run(
  command: string,
  args: readonly string[],
  { cwd, env, timeoutMs = 120_000 }: RunOptions = {},
): Promise<string> {
  const child = spawn(command, args, {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, PATH: SEARCH_PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  const [out, err]: [Buffer[], Buffer[]] = [[], []]
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
  const [code, signal] = (await once(child, 'close').catch((error: unknown) => {
    throw explain(error, command)
  })) as [number | null, string | null]
  if (code === 0) return Buffer.concat(out).toString()
  const call = [command, ...args].join(' ')
  throw new Error(`${call}\nended with ${code ?? signal}:\n${Buffer.concat([...out, ...err])}`)
}

interface Waiter {
  readonly pattern: RegExp
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** A program that runs until it is stopped. */
export class Daemon {
  readonly lines: string[] = []
  readonly #command: string
  readonly #child: ChildProcess
  readonly #killAtExit: () => void
  #waiters: Waiter[] = []

  private constructor(command: string, child: ChildProcess) {
    this.#command = command
    this.#child = child
    this.#killAtExit = () => child.kill('SIGKILL')
    process.once('exit', this.#killAtExit)
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.#add(line))
    }
    child.once('close', () => {
      for (const { pattern, reject } of this.#waiters)
        reject(this.#failure(`ended before ${pattern}`))
    })
  }

  static async start(
    command: string,
    args: readonly string[],
    { env }: Pick<RunOptions, 'env'> = {},
  ): Promise<Daemon> {
    const child = spawn(command, args, {
      env: { ...process.env, PATH: SEARCH_PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    await once(child, 'spawn').catch((error: unknown) => {
      throw explain(error, command)
    })
    return new Daemon(command, child)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Settles once a line, of those before or after now, matches. Throws when it ends before. */
  async line(pattern: RegExp): Promise<void> {
    if (this.lines.some((line) => pattern.test(line))) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiters.push({ pattern, resolve, reject })
    await promise
  }

  /** Asks until `probe` no longer throws: these programs tell in no other way that they are ready. */
  async ready(probe: () => Promise<unknown>, timeoutMs = 30_000): Promise<void> {
    const until = Date.now() + timeoutMs
    for (;;) {
      try {
        await probe()
        return
      } catch (cause) {
        if (this.#child.exitCode !== null || Date.now() > until) {
          throw this.#failure('did not become ready', cause)
        }
      }
      await delay(25)
    }
  }

  /** Holds it still: its connections stay, and it answers nothing. */
  pause(): void {
    this.#child.kill('SIGSTOP')
  }

  resume(): void {
    this.#child.kill('SIGCONT')
  }

  async stop(): Promise<void> {
    // One that is paused would not hear of it.
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    await this.#end('SIGTERM', 'SIGCONT')
    clearTimeout(timer)
  }

  /** SIGKILL: whatever it was doing stays undone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async #end(...signals: readonly NodeJS.Signals[]): Promise<void> {
    process.off('exit', this.#killAtExit)
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    for (const signal of signals) child.kill(signal)
    await ended
  }

  #failure(what: string, cause?: unknown): Error {
    return new Error(`${this.#command} ${what}:\n${this.lines.join('\n')}`, { cause })
  }

  #add(line: string): void {
    this.lines.push(line)
    this.#waiters = this.#waiters.filter(({ pattern, resolve }) => {
      if (!pattern.test(line)) return true
      resolve()
      return false
    })
  }
}

/** For programs that cannot choose a port themselves. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}

/** A missing program is a failure, never a skipped test. */
function explain(error: unknown, command: string): unknown {
  const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
  if (!isMissing) return error
  return new Error(`${command} is not installed: run npm run e2e:setup`, { cause: error })
}
