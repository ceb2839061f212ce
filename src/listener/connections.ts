import { readFileSync } from 'node:fs'
import type { Server, Socket } from 'node:net'

/** More are never needed: a rollout on a thousand nodes opens about three on each. */
const MAX_CONNECTIONS = 4096
/** Of the descriptors this process may have, so many stay for what is not a connection. */
const DESCRIPTOR_SHARE = 0.8
/** Database, listeners, log, registries: what is open when nobody is connected. */
const OWN_DESCRIPTORS = 32
/** A connection that is sent a stored blob holds its file too. */
const DESCRIPTORS_EACH = 2
const LEAST_CONNECTIONS = 16
/** What an address may always have, however many others there are. */
export const PER_ADDRESS = 512
/** An address is held to its share only once this much of the cap is taken. */
const SCARCE_FROM = 0.5
/** Full until this much of the cap is taken, so that a line is not logged for each connection. */
const ROOM_AGAIN_AT = 0.9

export interface ConnectionLimits {
  /** Default: 4096, or as many as 0.8 of the descriptors allow where each may need two. */
  readonly total?: number
  /** What an address may have once half of the total is taken; default 512. */
  readonly perAddress?: number
}

export type RejectReason = 'total' | 'address'

export interface ConnectionEvents {
  /** How many are open now. */
  counted(open: number): void
  rejected(reason: RejectReason): void
  /** Once when the first is refused, and once when there is room again. */
  full(isFull: boolean, state: { readonly open: number; readonly limit: number }): void
}

/**
 * Keeps count of a server's connections and closes at once those that are too many: who is refused
 * quickly can go elsewhere, who waits in a queue cannot.
 *
 * A whole cluster behind a translated address, or behind a proxy, is one address here. A fixed limit
 * for an address would refuse it pulls while nobody else wants the room. So an address may have as
 * many as there are, until half of them are taken; from then on only those below their share get
 * more. One address alone cannot shut out the others, and loopback needs no exception.
 */
export class Connections {
  readonly limit: number
  readonly #perAddress: number
  readonly #events: ConnectionEvents | undefined
  readonly #byAddress = new Map<string, number>()
  #open = 0
  readonly #waiting = new Set<() => void>()
  #isFull = false

  constructor(server: Server, limits: ConnectionLimits = {}, events?: ConnectionEvents) {
    this.limit = limits.total ?? connectionCap(descriptorLimit())
    this.#perAddress = limits.perAddress ?? PER_ADDRESS
    this.#events = events
    // The kernel's queue is emptied all the same: what is dropped costs no socket and no handler.
    server.maxConnections = this.limit
    server.on('drop', () => this.#reject('total'))
    server.prependListener('connection', (socket: Socket) => this.#enter(socket))
  }

  /** Resolves when none is open. */
  async emptied(): Promise<void> {
    if (this.#open === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add(resolve)
    await promise
  }

  #enter(socket: Socket): void {
    const address = socket.remoteAddress ?? ''
    const others = this.#byAddress.get(address) ?? 0
    this.#byAddress.set(address, others + 1)
    this.#count(1)
    socket.once('close', () => this.#leave(address))
    // The kernel's queue is not where one comes from that was accepted elsewhere.
    const isTooMany = this.#open > this.limit
    const isGreedy = others >= this.#perAddress && this.#open > this.limit * SCARCE_FROM
    if (!isTooMany && !isGreedy) return
    this.#reject(isTooMany ? 'total' : 'address')
    socket.destroy()
  }

  #leave(address: string): void {
    const others = (this.#byAddress.get(address) ?? 1) - 1
    if (others > 0) this.#byAddress.set(address, others)
    else this.#byAddress.delete(address)
    this.#count(-1)
  }

  #count(change: 1 | -1): void {
    this.#open += change
    this.#events?.counted(this.#open)
    if (this.#open === 0) this.#release()
    const hasRoom = this.#open < this.limit * SCARCE_FROM * ROOM_AGAIN_AT
    if (this.#isFull && hasRoom) this.#turn(false)
  }

  #release(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  #reject(reason: RejectReason): void {
    this.#events?.rejected(reason)
    if (!this.#isFull) this.#turn(true)
  }

  #turn(isFull: boolean): void {
    this.#isFull = isFull
    this.#events?.full(isFull, { open: this.#open, limit: this.limit })
  }
}

/** How many connections fit when the process may have so many descriptors. */
export function connectionCap(descriptors: number): number {
  const free = descriptors * DESCRIPTOR_SHARE - OWN_DESCRIPTORS
  const fitting = Math.floor(free / DESCRIPTORS_EACH)
  return Math.min(MAX_CONNECTIONS, Math.max(LEAST_CONNECTIONS, fitting))
}

/** The soft limit, which Node has raised to the hard one; where nothing says it, there is none. */
export function descriptorLimit(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8')
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
