import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { get as getPlainly } from 'node:http'
import { get as getSecurely } from 'node:https'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** USER_HZ: what `/proc/PID/stat` counts in, the same on every Linux port Node runs on. */
const TICKS_A_SECOND = 100
const READY_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 15_000
const SETTLE_STEP_MS = 250
const SETTLE_TIMEOUT_MS = 5_000

export interface Command {
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  readonly port: number
  /** Standard output and error go here: a file costs this process nothing while it measures. */
  readonly logPath: string
  /** Answered with any status below 500 once the server serves. */
  readonly readyPath: string
  /** Over TLS, with a certificate that nobody signed. */
  readonly isSecure?: boolean
  /** Where it tells how late its event loop was, if it has one and tells. */
  readonly metricsUrl?: string
  readonly cwd?: string
  /** The processors it has, as `taskset` takes them; default: all. */
  readonly cpus?: string
}

/** A server under test, in a process of its own. */
export class Server implements AsyncDisposable {
  readonly name: string
  readonly port: number
  readonly logPath: string
  readonly #command: Command
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>

  private constructor(command: Command, child: ChildProcess) {
    this.#command = command
    this.name = command.name
    this.port = command.port
    this.logPath = command.logPath
    this.#child = child
    this.#exited = once(child, 'exit')
  }

  /** @throws {Error} with the end of its log when it does not serve in time. */
  static async start(command: Command): Promise<Server> {
    const log = openSync(command.logPath, 'a')
    const [file, args] = pinned(command.cpus, command.file, command.args)
    const child = spawn(file, args, {
      stdio: ['ignore', log, log],
      ...(command.cwd !== undefined && { cwd: command.cwd }),
    })
    closeSync(log)
    const killAtExit = () => child.kill('SIGKILL')
    process.once('exit', killAtExit)
    child.once('exit', () => process.off('exit', killAtExit))
    await once(child, 'spawn')
    const server = new Server(command, child)
    try {
      await server.#ready(command.readyPath)
      return server
    } catch (error) {
      await server.stop()
      throw error
    }
  }

  get url(): string {
    return `${this.#command.isSecure ? 'https' : 'http'}://127.0.0.1:${this.port}`
  }

  /** What its event loop was late by since this was last asked, milliseconds; NaN: it does not tell. */
  async loopP99Ms(): Promise<number> {
    const { metricsUrl } = this.#command
    if (metricsUrl === undefined) return Number.NaN
    const text = await (await fetch(metricsUrl)).text()
    return Number(/^nodejs_eventloop_lag_p99_seconds(?:\{[^}]*\})? (\S+)$/m.exec(text)?.[1]) * 1000
  }

  /** User and system time of the process, its living descendants and its reaped children. */
  cpuSeconds(): number {
    return sum(this.#tree().map((process) => process.ticks)) / TICKS_A_SECOND
  }

  /** Resident memory of the process and its descendants; shared pages count once for each. */
  rssBytes(): number {
    return sum(this.#tree().map(({ pid }) => rssOf(pid)))
  }

  /** Waits until what a request left behind (an fsync, a commit) has stopped using the processor. */
  async settle(): Promise<void> {
    const end = Date.now() + SETTLE_TIMEOUT_MS
    for (let before = -1, now = this.cpuSeconds(); now !== before && Date.now() < end; ) {
      await delay(SETTLE_STEP_MS)
      before = now
      now = this.cpuSeconds()
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await this.#exited
    clearTimeout(timer)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #ready(path: string): Promise<void> {
    const end = Date.now() + READY_TIMEOUT_MS
    while (this.#child.exitCode === null && Date.now() < end) {
      if (await answers(`${this.url}${path}`)) return
      await delay(50)
    }
    const state = this.#child.exitCode === null ? 'does not answer' : 'ended'
    const tail = readFileSync(this.logPath, 'utf8').trimEnd().split('\n').slice(-10).join('\n')
    throw new Error(`${this.name} ${state}; the end of its log:\n${tail}`)
  }

  #tree(): readonly ProcessStat[] {
    const pid = this.#child.pid
    const all = readProcesses()
    const tree = all.filter((process) => process.pid === pid)
    // Grows while it is walked: children follow their parents.
    for (const parent of tree) tree.push(...all.filter((process) => process.parent === parent.pid))
    return tree
  }
}

async function answers(url: string): Promise<boolean> {
  const get = url.startsWith('https:') ? getSecurely : getPlainly
  const { promise, resolve } = Promise.withResolvers<boolean>()
  get(url, { rejectUnauthorized: false }, (response) => {
    response.resume().once('end', () => resolve((response.statusCode ?? 500) < 500))
  }).once('error', () => resolve(false))
  return promise
}

interface ProcessStat {
  readonly pid: number
  readonly parent: number
  readonly ticks: number
}

function readProcesses(): readonly ProcessStat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(Number(name)) ?? [])
}

function readStat(pid: number): ProcessStat | undefined {
  const fields = readFields(pid)
  if (fields === undefined) return undefined
  const [, parent = 0] = fields
  return { pid, parent, ticks: sum(fields.slice(11, 15)) }
}

/** proc(5): the name, in brackets, may hold anything; what follows its last bracket is regular. */
function readFields(pid: number): readonly number[] | undefined {
  const text = readProcFile(`/proc/${pid}/stat`)
  return text
    ?.slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
}

/** Of one process, without its children. */
export interface Usage {
  /** User and system time. */
  readonly cpuSeconds: number
  /** The most that was resident at once since it began. */
  readonly peakBytes: number
}

/** `undefined` when there is no such process any more. */
export function usageOf(pid: number): Usage | undefined {
  const fields = readFields(pid)
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readProcFile(`/proc/${pid}/status`) ?? '')
  if (fields === undefined || line === null) return undefined
  return {
    cpuSeconds: sum(fields.slice(11, 13)) / TICKS_A_SECOND,
    peakBytes: Number(line[1]) * 1024,
  }
}

function rssOf(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readProcFile(`/proc/${pid}/status`) ?? '')
  return Number(line?.[1] ?? 0) * 1024
}

/** `undefined` when the process has ended meanwhile. */
function readProcFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** What runs a program on these processors alone, or on all, and what is given to that. */
export function pinned(
  cpus: string | undefined,
  file: string,
  args: readonly string[],
): readonly [file: string, args: readonly string[]] {
  return cpus === undefined ? [file, args] : ['taskset', ['-c', cpus, file, ...args]]
}

/** A port that was free a moment ago, for servers that cannot say which one they were given. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  if (address === null || typeof address === 'string') throw new Error('no TCP port to be had')
  return address.port
}
