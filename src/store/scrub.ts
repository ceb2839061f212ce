import { setTimeout } from 'node:timers/promises'

import type { CheckKey } from './catalog/blobs.ts'
import type { CheckedRow, Checker } from './check.ts'
import type { CheckRecorder } from './check-recorder.ts'
import { Pacer } from './pacer.ts'
import type { Repair } from './repair.ts'

export interface ScrubSettings {
  /** How long after its last check a content is checked again; `undefined`: never. */
  readonly everyMs: number | undefined
  readonly bytesPerSecond: number
}

export interface ScrubOptions {
  readonly catalog: {
    pageByCheck(after: CheckKey, until: number, limit: number): Promise<readonly CheckedRow[]>
  }
  readonly checker: Pick<Checker, 'check'>
  readonly recorder: Pick<CheckRecorder, 'flush' | 'has'>
  /** Fetches damaged content again at once; absent: the next pull does. */
  readonly repair?: Pick<Repair, 'restore'>
  /** Asked each time, so that a changed configuration counts at once. */
  readonly settings: () => ScrubSettings
  /** Whether pulls are under way: then it waits. */
  readonly isBusy: () => boolean
  /** Until it settles it is not known what is here. */
  readonly ready: Promise<unknown>
  /** Told what kept it from reading a content; it goes on behind that one in a minute. */
  readonly onError: (error: unknown) => void
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Milliseconds of a clock that never jumps; default: that of the system. */
  readonly elapsed?: () => number
  readonly sleep?: (delayMs: number, signal: AbortSignal) => Promise<void>
}

/** How often it looks whether something is due. */
const LOOK_MS = 60_000
/** Rows read, and checks written, at a time. */
const BATCH = 32
/** Before everything: what was never checked comes first. */
const START: CheckKey = { verifiedAt: undefined, digest: '' }

/** Reads everything that is stored again and again, in the background, so that bit rot is found. */
export class Scrub {
  readonly #options: ScrubOptions
  readonly #pacer: Pacer
  readonly #sleep: (delayMs: number, signal: AbortSignal) => Promise<void>
  readonly #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()
  /** What comes before was looked at in this pass. */
  #from: CheckKey = START

  constructor(options: ScrubOptions) {
    const { settings, isBusy, elapsed = () => performance.now(), sleep = pause } = options
    this.#options = options
    this.#sleep = sleep
    const bytesPerSecond = () => settings().bytesPerSecond
    this.#pacer = new Pacer({ bytesPerSecond, isBusy, elapsed, sleep })
  }

  start(): void {
    this.#running = this.#run()
  }

  /** In the middle of a content if need be; it is checked from its beginning another time. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the scrub was stopped'))
    await this.#running
  }

  /** Checks what is due, that which was not checked for the longest time first. Never rejects. */
  async pass(): Promise<void> {
    const { recorder, onError } = this.#options
    try {
      while (await this.#batch()) await recorder.flush()
    } catch (error) {
      if (!this.#isStopped) onError(error)
    } finally {
      await recorder.flush()
    }
  }

  async #run(): Promise<void> {
    await this.#options.ready.catch(() => undefined)
    while (!this.#isStopped) {
      await this.pass()
      await this.#sleep(LOOK_MS, this.#stopping.signal).catch(() => undefined)
    }
  }

  /** @returns whether there may be more */
  async #batch(): Promise<boolean> {
    const { catalog, recorder, settings, now } = this.#options
    const { everyMs } = settings()
    const until = everyMs === undefined ? undefined : now() - everyMs
    const rows = until === undefined ? [] : await catalog.pageByCheck(this.#from, until, BATCH)
    if (rows.length === 0) this.#from = START
    for (const row of rows) {
      if (this.#isStopped || settings().everyMs === undefined) return false
      // One that cannot be read now must not keep the others from being read.
      this.#from = row
      if (!recorder.has(row.digest)) await this.#check(row)
    }
    return rows.length > 0
  }

  async #check(row: CheckedRow): Promise<void> {
    const { checker, repair } = this.#options
    const { signal } = this.#stopping
    const before = (bytes: number) => this.#pacer.pass(bytes, signal)
    const found = await checker.check(row, { signal, before })
    if (found !== 'ok' && found !== 'gone') await repair?.restore(row.digest, signal)
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted
  }
}

async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  await setTimeout(delayMs, undefined, { signal, ref: false })
}
