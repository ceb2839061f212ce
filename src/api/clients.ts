import { isPull, type RequestRecord } from './request-record.ts'
import { runtimeOf } from './runtimes.ts'

/** More than a cluster has nodes; about half a megabyte. */
const KEPT = 1_000

/** Who asks here: one runtime at one address. */
export interface SeenClient {
  readonly address: string
  /** A word such as `containerd`, from what it calls itself. */
  readonly runtime: string
  /** What it last called itself. */
  readonly agent: string | undefined
  readonly requests: number
  /** Manifests that it has got. */
  readonly pulls: number
  /** Requests that were refused or failed. */
  readonly errors: number
  readonly bytes: number
  /** Epoch milliseconds. */
  readonly firstSeenAt: number
  readonly lastSeenAt: number
}

export interface SeenClients {
  /** Since when, epoch milliseconds. */
  readonly since: number
  /** Who was seen last is first. */
  readonly clients: readonly SeenClient[]
  /** Those that were seen, and forgotten for others. */
  readonly more: number
}

/** Who has asked since the start, in memory: whether a node really comes this way. */
export class Clients {
  readonly #now: () => number
  readonly #since: number
  /** In the order in which they were last seen. */
  readonly #seen = new Map<string, SeenClient>()
  #forgotten = 0

  /** @param now epoch milliseconds */
  constructor(now: () => number) {
    this.#now = now
    this.#since = now()
  }

  add(record: RequestRecord): void {
    const { client: address, agent } = record
    if (address === undefined) return
    const runtime = runtimeOf(agent)
    const key = `${address} ${runtime}`
    const at = this.#now()
    const known = this.#seen.get(key) ?? this.#begin(address, runtime, at)
    this.#seen.delete(key)
    this.#seen.set(key, {
      ...known,
      agent,
      requests: known.requests + 1,
      pulls: known.pulls + (isPull(record) ? 1 : 0),
      errors: known.errors + (isError(record) ? 1 : 0),
      bytes: known.bytes + record.bytes,
      lastSeenAt: at,
    })
  }

  list(): SeenClients {
    const clients = [...this.#seen.values()].reverse()
    return { since: this.#since, clients, more: this.#forgotten }
  }

  #begin(address: string, runtime: string, at: number): SeenClient {
    if (this.#seen.size >= KEPT) {
      const [oldest] = this.#seen.keys()
      if (oldest !== undefined) this.#seen.delete(oldest)
      this.#forgotten++
    }
    const nothing = { requests: 0, pulls: 0, errors: 0, bytes: 0 }
    return { address, runtime, agent: undefined, ...nothing, firstSeenAt: at, lastSeenAt: at }
  }
}

function isError({ result, status }: RequestRecord): boolean {
  return result === 'error' || result === 'denied' || status >= 500
}
