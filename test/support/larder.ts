import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'

import { makeTempDir } from './temp-dir.ts'

/** A configuration file's content, with the file's own keys; what is absent stays absent. */
export interface LarderOptions {
  readonly upstreams: readonly Readonly<Record<string, unknown>>[]
  readonly server?: Readonly<Record<string, unknown>>
  readonly auth?: Readonly<Record<string, unknown>>
  readonly admin?: Readonly<Record<string, unknown>>
  readonly log?: Readonly<Record<string, unknown>>
  readonly storage?: Readonly<Record<string, unknown>>
  readonly memory?: Readonly<Record<string, unknown>>
  readonly defaults?: Readonly<Record<string, unknown>>
  readonly offline?: boolean
  readonly preload?: readonly Readonly<Record<string, unknown>>[]
  /** Added to a nearly empty environment. */
  readonly env?: Readonly<Record<string, string>>
  /** To start again on the same data; default: a new folder, removed by `close` and `kill`. */
  readonly dataDir?: string
  /** What Node is to run, its own flags first; default: the sources. */
  readonly program?: readonly string[]
  /** A program and its arguments that run it, without a process in between; default: none. */
  readonly within?: readonly string[]
  /** Told of each line of the log as it comes, those of the start too. */
  readonly onLine?: (line: LogLine, pid: number) => void
}

export type LogLine = Readonly<Record<string, unknown>>

/** The program itself, as a process of its own. */
export interface RunningLarder extends AsyncDisposable {
  /** Origin of the registry API. */
  readonly url: string
  readonly adminUrl: string
  /** Of the registry API. */
  readonly port: number
  readonly pid: number
  readonly dataDir: string
  /** What it was started with. */
  readonly configFile: string
  /** Puts another content into the file, on the same data; a text as it is. Nobody is told. */
  writeConfig(content: LarderOptions | string): Promise<void>
  /** What it has logged so far; a line that is not JSON becomes `{ raw }`. */
  logs(): readonly LogLine[]
  /** Settles with the lines that say `msg` once there are so many; throws when they do not come. */
  logged(msg: string, times?: number): Promise<readonly LogLine[]>
  /** SIGTERM; settles with the exit code. Throws when it does not end by itself. */
  close(): Promise<number>
  /** SIGKILL. */
  kill(): Promise<void>
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** `npm run test:workers` runs tests that know nothing of it. */
export const WORKERS = Number(process.env['LARDER_TEST_WORKERS'] ?? 1)
const START_TIMEOUT_MS = 20_000
const STOP_TIMEOUT_MS = 20_000
const LOG_TIMEOUT_MS = 20_000

/** What the tests were started with counts for their children too: each would compile all of it. */
export function compileCache(): Record<string, string> {
  const folder = process.env['NODE_COMPILE_CACHE']
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: resolve(folder) }
}

/** Starts `larder serve` on free ports of 127.0.0.1 and waits until it listens. */
export async function startLarder(options: LarderOptions): Promise<RunningLarder> {
  const dir = await makeTempDir('larder-run-')
  const dataDir = options.dataDir ?? join(dir.path, 'data')
  const file = join(dir.path, 'larder.yaml')
  await writeFile(file, stringify(configOf(options, dataDir)))
  const { within = [], program = [MAIN] } = options
  const [command = '', ...args] = [...within, process.execPath, ...program, 'serve', '-c', file]
  const child = spawn(command, args, {
    cwd: dir.path,
    env: { PATH: process.env['PATH'], HOME: dir.path, ...compileCache(), ...options.env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const killAtExit = () => child.kill('SIGKILL')
  process.once('exit', killAtExit)
  const log = new Log((line) => options.onLine?.(line, child.pid ?? 0))
  const finish = async () => {
    process.off('exit', killAtExit)
    await dir.remove()
  }
  try {
    const { registry, admin } = await listening(child, log)
    const close = async () => {
      const code = await stop(child)
      await finish()
      return code
    }
    return {
      url: registry,
      adminUrl: admin,
      port: Number(new URL(registry).port),
      pid: child.pid ?? 0,
      dataDir,
      configFile: file,
      writeConfig: (content) =>
        writeFile(
          file,
          typeof content === 'string' ? content : stringify(configOf(content, dataDir)),
        ),
      logs: () => log.lines,
      logged: (msg, times) => log.reaches(msg, times),
      close,
      kill: async () => {
        await end(child, 'SIGKILL')
        await finish()
      },
      [Symbol.asyncDispose]: async () => void (await close()),
    }
  } catch (error) {
    await end(child, 'SIGKILL')
    await finish()
    throw error
  }
}

function configOf(options: LarderOptions, dataDir: string): Record<string, unknown> {
  const { env: _env, dataDir: _dataDir, onLine: _onLine, ...others } = options
  const { within: _within, program: _program, ...keys } = others
  const { server, storage, log, ...rest } = keys
  return {
    version: 1,
    server: { listen: '127.0.0.1:0', adminListen: '127.0.0.1:0', workers: WORKERS, ...server },
    storage: { path: dataDir, ...storage },
    log: { level: 'debug', format: 'json', ...log },
    ...rest,
  }
}

interface Listening {
  readonly registry: string
  readonly admin: string
}

/** Goes on gathering lines after it has settled. */
function listening(child: ChildProcess, log: Log): Promise<Listening> {
  const { lines } = log
  const { promise, resolve, reject } = Promise.withResolvers<Listening>()
  const timer = setTimeout(() => reject(failure('did not listen in time', lines)), START_TIMEOUT_MS)
  const { stderr } = child
  if (stderr === null) throw new Error('standard error is not piped')
  createInterface({ input: stderr }).on('line', (text) => {
    const line = parseLine(text)
    log.add(line)
    const { msg, registry, admin } = line
    if (msg !== 'listening') return
    if (typeof registry !== 'string') return reject(failure('named no address', lines))
    resolve({ registry, admin: typeof admin === 'string' ? admin : '' })
  })
  child.once('error', reject)
  // Not 'exit': the last lines may come after it.
  child.once('close', (code) => reject(failure(`ended with ${code} before it listened`, lines)))
  return promise.finally(() => clearTimeout(timer))
}

/** What it says, as it says it. */
class Log {
  readonly lines: LogLine[] = []
  readonly #onLine: (line: LogLine) => void
  readonly #waiting = new Set<() => void>()

  constructor(onLine: (line: LogLine) => void) {
    this.#onLine = onLine
  }

  add(line: LogLine): void {
    this.lines.push(line)
    this.#onLine(line)
    for (const look of this.#waiting) look()
  }

  async reaches(msg: string, times = 1): Promise<readonly LogLine[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly LogLine[]>()
    const look = () => {
      const found = this.lines.filter((line) => line['msg'] === msg)
      if (found.length >= times) resolve(found)
    }
    const why = `did not say '${msg}' ${times} times`
    const timer = setTimeout(() => reject(failure(why, this.lines)), LOG_TIMEOUT_MS)
    this.#waiting.add(look)
    look()
    return promise.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(look)
    })
  }
}

function parseLine(text: string): LogLine {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as LogLine
  } catch {
    // Whatever it is, it is kept for the one who reads the failure.
  }
  return { raw: text }
}

function failure(what: string, lines: readonly LogLine[]): Error {
  const log = lines.map((line) => ('raw' in line ? String(line['raw']) : JSON.stringify(line)))
  return new Error(`larder ${what}\n${log.join('\n')}`)
}

async function stop(child: ChildProcess): Promise<number> {
  let isStuck = false
  const timer = setTimeout(() => {
    isStuck = true
    child.kill('SIGKILL')
  }, STOP_TIMEOUT_MS)
  await end(child, 'SIGTERM')
  clearTimeout(timer)
  if (isStuck) throw new Error(`larder did not end within ${STOP_TIMEOUT_MS} ms of SIGTERM`)
  return child.exitCode ?? -1
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const ended = once(child, 'close')
  child.kill(signal)
  await ended
}
