import { type ChildProcess, fork } from 'node:child_process'
import type { Socket } from 'node:net'

import type { FromWorker, Setup, ToWorker, Usage } from './messages.ts'

export interface WorkerOptions {
  /** What it runs. */
  readonly program: string
  /** Flags of Node. */
  readonly flags: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly setup: Setup
  readonly onMessage: (message: FromWorker) => void
  readonly onEnd: (end: WorkerEnd) => void
}

export interface WorkerEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const NO_USAGE: Usage = { cpuSeconds: 0, memoryBytes: 0, delaySeconds: 0 }

/** A worker's process, as the one that decides has it. */
export class Worker {
  readonly #child: ChildProcess
  readonly #options: WorkerOptions
  /** Connections that wait to be given to it: one is on its way at a time, lest more are lost with it. */
  readonly #waiting: Socket[] = []
  /** On its way. It is open here, too, until it is known to have come. */
  #given: Socket | undefined
  #isReady = false
  #wasReady = false
  #open = 0
  #usage = NO_USAGE

  constructor(options: WorkerOptions) {
    const { program, flags, environment, setup, onEnd } = options
    this.#options = options
    this.#child = fork(program, [], {
      execArgv: [...flags],
      env: { ...environment },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#child.on('message', (message) => this.#receive(message as FromWorker))
    // What could not be started says so here, and what is sent to one that has just ended.
    this.#child.on('error', () => this.#child.kill('SIGKILL'))
    this.#child.once('close', (code, signal) => {
      this.#isReady = false
      // Perhaps something of it was read: nobody can go on with it.
      this.#taken()
      onEnd({ code, signal })
    })
    this.send({ kind: 'setup', setup })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isReady(): boolean {
    return this.#isReady
  }

  /** It has been at work, and may have ended since. */
  get wasReady(): boolean {
    return this.#wasReady
  }

  /** Those on their way included. */
  get connections(): number {
    return this.#open + this.#waiting.length + (this.#given === undefined ? 0 : 1)
  }

  get usage(): Usage {
    return this.#usage
  }

  send(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message)
  }

  /** It has the connection from now on. */
  give(socket: Socket): void {
    this.#waiting.push(socket)
    this.#giveNext()
  }

  /** What it was to be given and has not been. */
  takeBack(): readonly Socket[] {
    return this.#waiting.splice(0)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #giveNext(): void {
    if (this.#given !== undefined || !this.#child.connected) return
    const socket = this.#waiting.shift()
    if (socket === undefined) return
    this.#given = socket
    // Or Node would ask the worker about it when the port is closed.
    Reflect.set(socket, 'server', null)
    const message: ToWorker = { kind: 'connection' }
    this.#child.send(message, socket, { keepOpen: true })
  }

  #taken(): void {
    this.#given?.destroy()
    this.#given = undefined
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        this.#isReady = true
        this.#wasReady = true
        break
      case 'taken':
        this.#taken()
        this.#giveNext()
        break
      case 'connections':
        this.#open = message.open
        break
      case 'usage':
        this.#usage = message.usage
        break
      default:
        break
    }
    this.#options.onMessage(message)
  }
}
