import type { Socket } from 'node:net'

import type { TlsMaterial } from '../listener/certificates.ts'
import type { ConnectionEvents } from '../listener/connections.ts'
import type { FromWorker, Setup, Usage } from './messages.ts'
import { Worker, type WorkerEnd, type WorkerOptions } from './worker.ts'

/** Whoever ends sooner than this after being started may well end again at once. */
const LASTING_MS = 10_000
const FIRST_DELAY_MS = 100
/** Of one that has been at work. */
const LONGEST_DELAY_MS = 1_000
/** Of one that has never come so far. */
const LONGEST_START_DELAY_MS = 30_000
/** A start is not held up for longer by workers that do not come. */
const START_MS = 10_000
/** What drains and does not come to its end is ended. */
const GRACE_MS = 2_000

export interface CrewOptions extends Pick<WorkerOptions, 'program' | 'flags' | 'environment'> {
  readonly count: number
  /** For a worker that is started now. */
  readonly setup: () => Setup
  readonly events: CrewEvents
}

export interface CrewEvents extends ConnectionEvents {
  ready(worker: WorkerName): void
  /** Another is started in its place, after so long. */
  ended(worker: WorkerName, end: WorkerEnd, delayMs: number): void
}

export interface WorkerName {
  /** From 1: a place, which its replacement has after it. */
  readonly worker: number
  readonly pid: number | undefined
}

export interface CrewReadings extends Usage {
  readonly running: number
}

/** A place in the crew, and who is in it. */
interface Post {
  readonly number: number
  worker: Worker | undefined
  startedAt: number
  /** How often in a row whoever was in it did not last. */
  failures: number
  timer: NodeJS.Timeout | undefined
}

/** The workers: started, replaced when they end, and given connections, the least busy first. */
export class Crew {
  readonly #options: CrewOptions
  readonly #posts: readonly Post[]
  readonly #starting = Promise.withResolvers<void>()
  #isStopping = false
  #turn = 0
  /** Of those who have ended. */
  #spentSeconds = 0
  #ended = Promise.withResolvers<void>()

  constructor(options: CrewOptions) {
    this.#options = options
    this.#posts = Array.from({ length: options.count }, (_, index) => ({
      number: index + 1,
      worker: undefined,
      startedAt: 0,
      failures: 0,
      timer: undefined,
    }))
  }

  /** Settles when all are at work, or it is plain that they do not come as they should. */
  async start(): Promise<void> {
    for (const post of this.#posts) this.#fill(post)
    const timer = setTimeout(this.#starting.resolve, START_MS)
    await this.#starting.promise
    clearTimeout(timer)
  }

  /** @returns false: nobody is here to take it */
  take(socket: Socket): boolean {
    const worker = this.#leastBusy()
    worker?.give(socket)
    return worker !== undefined
  }

  get isComplete(): boolean {
    return this.#posts.every(({ worker }) => worker?.isReady === true)
  }

  /** Workers show these certificates from now on. */
  secure(material: TlsMaterial): void {
    for (const worker of this.#workers()) worker.send({ kind: 'certificates', material })
  }

  readings(): CrewReadings {
    const usages = this.#workers().map(({ usage }) => usage)
    return {
      running: this.#workers().filter(({ isReady }) => isReady).length,
      cpuSeconds: usages.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, this.#spentSeconds),
      memoryBytes: usages.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
      delaySeconds: Math.max(0, ...usages.map(({ delaySeconds }) => delaySeconds)),
    }
  }

  /** Lets answers under way end, for at most so long. Resolves when no worker is left. */
  async drain(ms: number): Promise<void> {
    this.#isStopping = true
    for (const { timer } of this.#posts) clearTimeout(timer)
    this.#starting.resolve()
    const workers = this.#workers()
    for (const worker of workers) {
      for (const socket of worker.takeBack()) socket.destroy()
      worker.send({ kind: 'drain', ms })
    }
    const limit = setTimeout(() => this.#kill(), ms + GRACE_MS)
    while (this.#workers().length > 0) {
      await this.#ended.promise
    }
    clearTimeout(limit)
  }

  /** Ends every connection now. */
  hurry(): void {
    for (const worker of this.#workers()) worker.send({ kind: 'hurry' })
    setTimeout(() => this.#kill(), GRACE_MS).unref()
  }

  #kill(): void {
    for (const worker of this.#workers()) worker.kill()
  }

  #workers(): readonly Worker[] {
    return this.#posts.flatMap(({ worker }) => worker ?? [])
  }

  #leastBusy(): Worker | undefined {
    const { length } = this.#posts
    let best: Worker | undefined
    for (let at = 0; at < length; at++) {
      const worker = this.#posts[(this.#turn + at) % length]?.worker
      if (worker?.isReady !== true) continue
      if (best === undefined || worker.connections < best.connections) best = worker
    }
    this.#turn = (this.#turn + 1) % length
    return best
  }

  #fill(post: Post): void {
    const { program, flags, environment, setup } = this.#options
    post.startedAt = performance.now()
    const worker = new Worker({
      program,
      flags,
      environment,
      setup: setup(),
      onMessage: (message) => this.#receive(post, message),
      onEnd: (end) => this.#leave(post, worker, end),
    })
    post.worker = worker
  }

  #receive(post: Post, message: FromWorker): void {
    const { events } = this.#options
    switch (message.kind) {
      case 'ready':
        events.ready({ worker: post.number, pid: post.worker?.pid })
        if (this.isComplete) this.#starting.resolve()
        break
      case 'connections':
      case 'taken':
        this.#count()
        break
      case 'rejected':
        events.rejected(message.reason)
        break
      case 'full':
        events.full(message.isFull, message)
        break
      case 'usage':
        break
      default:
        message satisfies never
    }
  }

  #count(): void {
    const open = this.#workers().reduce((sum, { connections }) => sum + connections, 0)
    this.#options.events.counted(open)
  }

  #leave(post: Post, worker: Worker, end: WorkerEnd): void {
    post.worker = undefined
    this.#spentSeconds += worker.usage.cpuSeconds
    this.#count()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#ended.resolve()
    this.#ended = { promise, resolve, reject: () => undefined }
    if (this.#isStopping) return
    const hasLasted = performance.now() - post.startedAt >= LASTING_MS
    post.failures = hasLasted ? 0 : post.failures + 1
    const delayMs = post.failures < 2 ? 0 : delayAfter(post.failures - 1, worker.wasReady)
    this.#options.events.ended({ worker: post.number, pid: worker.pid }, end, delayMs)
    // A start goes on without those who fail at it.
    if (post.failures > 1) this.#starting.resolve()
    post.timer = setTimeout(() => this.#fill(post), delayMs)
    for (const socket of worker.takeBack()) if (!this.take(socket)) socket.destroy()
  }
}

function delayAfter(failures: number, wasReady: boolean): number {
  const longest = wasReady ? LONGEST_DELAY_MS : LONGEST_START_DELAY_MS
  return Math.min(longest, FIRST_DELAY_MS * 2 ** (failures - 1))
}
