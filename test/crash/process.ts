import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { send } from '../support/http-client.ts'
import type { Listening, Order } from './victim.ts'

export type LogLine = Readonly<Record<string, unknown>>

export interface VictimOptions {
  readonly configFile: string
  /** Of compiled code, so that a start takes as long as that of a program that was started before. */
  readonly cacheDir: string
}

const VICTIM = fileURLToPath(import.meta.resolve('./victim.ts'))
/** So long that a machine with much else to do gets there; what is promised is much less. */
const START_TIMEOUT_MS = 30_000
const LOOK_MS = 5

/** A running Larder that is going to be killed. */
export class Victim implements AsyncDisposable {
  /**
   * Milliseconds from the start of the process to the first 200 of `/readyz`; rejects when it ends
   * before that.
   */
  readonly ready: Promise<number>
  /** The failpoint at which it ended; an empty text: it was killed from outside. */
  readonly died: Promise<string>
  /** What it has logged so far. */
  readonly lines: LogLine[] = []
  readonly #child: ChildProcess
  #listening: Listening | undefined
  #isDead = false

  constructor({ configFile, cacheDir }: VictimOptions) {
    const startedAt = performance.now()
    this.#child = fork(VICTIM, [configFile], {
      env: { NODE_COMPILE_CACHE: cacheDir },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    const { stdout, stderr } = this.#child
    if (stdout === null || stderr === null) throw new Error('the output is not piped')
    createInterface({ input: stderr }).on('line', (line) => this.lines.push(parseLine(line)))
    const ended = once(this.#child, 'close').then(() => {
      this.#isDead = true
    })
    this.died = Promise.all([text(stdout), ended]).then(([point]) => point)
    this.ready = this.#untilReady(ended).then(() => performance.now() - startedAt)
    this.ready.catch(() => {})
    process.once('exit', this.#killAtExit)
  }

  get url(): string {
    return this.#addresses.registryUrl
  }

  get adminUrl(): string {
    return this.#addresses.adminUrl
  }

  /** Whether it was killed; its last words may still come. */
  get isDead(): boolean {
    return this.#isDead
  }

  /** Settles with whether it ended by itself within `ms`. */
  async endsWithin(ms: number): Promise<boolean> {
    const limit = new AbortController()
    const late = sleep(ms, false, { signal: limit.signal }).catch(() => false)
    const isDead = await Promise.race([this.died.then(() => true), late])
    limit.abort()
    return isDead
  }

  /** From now on it dies when it comes to that step for so many times. */
  arm(order: Order): void {
    if (this.#child.connected) this.#child.send(order, () => {})
  }

  /** SIGKILL, and settles when it has gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.died
    process.off('exit', this.#killAtExit)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }

  get #addresses(): Listening {
    if (this.#listening === undefined) throw new Error('it does not listen yet')
    return this.#listening
  }

  async #untilReady(ended: Promise<void>): Promise<void> {
    const limit = AbortSignal.timeout(START_TIMEOUT_MS)
    const listens = once(this.#child, 'message', { signal: limit })
    const isEarly = ended.then(() => {
      throw new Error(`it ended before it was ready\n${this.said}`)
    })
    isEarly.catch(() => {})
    const [message] = await Promise.race([listens, isEarly])
    this.#listening = message as Listening
    while ((await send(this.#listening.adminUrl, '/readyz')).status !== 200) {
      limit.throwIfAborted()
      await sleep(LOOK_MS)
    }
  }

  /** What it has logged, for whoever reads of a failure. */
  get said(): string {
    return this.lines.map((line) => JSON.stringify(line)).join('\n')
  }

  readonly #killAtExit = () => void this.#child.kill('SIGKILL')
}

function parseLine(line: string): LogLine {
  try {
    return JSON.parse(line) as LogLine
  } catch {
    return { raw: line }
  }
}
