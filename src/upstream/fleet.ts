import { isDeepStrictEqual } from 'node:util'

import type { Config, UpstreamConfig } from '../config/config.ts'
import { createRegistry, type RegistryDependencies } from './factory.ts'
import { OfflineRegistry } from './offline.ts'
import type { RegistryClient } from './registry.ts'
import { type Upstream, Upstreams } from './routing.ts'
import { readTlsFiles, type TlsMaterial } from './tls-files.ts'

/** What is built and waits to be used. Exactly one of its methods is to be called. */
export interface Prepared {
  readonly routes: Upstreams
  /** The names of upstreams that are new, changed or gone. */
  readonly changed: readonly string[]
  /** Retires the clients that are no longer used. */
  commit(): void
  /** Closes what was built for it. */
  abandon(): Promise<void>
}

interface Ship {
  readonly upstream: Upstream
  /** `undefined`: offline. */
  readonly client: RegistryClient | undefined
  /** As they were read when the client was built. */
  readonly tls: TlsMaterial | undefined
}

/**
 * The clients of all upstreams. A configuration that is read again leaves those alone that it does
 * not change: their connections, tokens and circuits go on, and so does every pull.
 */
export class Fleet {
  readonly #dependencies: RegistryDependencies
  /** By the name of the upstream. */
  #ships: ReadonlyMap<string, Ship> = new Map()
  readonly #retired = new Set<RegistryClient>()

  constructor(dependencies: RegistryDependencies) {
    this.#dependencies = dependencies
  }

  /** @throws {Error} when a client cannot be built, or a route not made; nothing has changed then */
  prepare({ upstreams, offline }: Pick<Config, 'upstreams' | 'offline'>): Prepared {
    const before = this.#ships
    const built: Ship[] = []
    try {
      const ships = upstreams.map((config) => {
        const ship = this.#reuse(config, offline) ?? this.#build(config, offline)
        if (ship !== before.get(config.name)) built.push(ship)
        return ship
      })
      const after = new Map(ships.map((ship) => [ship.upstream.config.name, ship]))
      return {
        routes: new Upstreams(ships.map(({ upstream }) => upstream)),
        changed: [...new Set([...before.keys(), ...after.keys()])].filter(
          (name) => before.get(name) !== after.get(name),
        ),
        commit: () => this.#commit(before, after),
        abandon: () => closeAll(built),
      }
    } catch (error) {
      closeAll(built).catch((reason: unknown) => this.#complain(reason))
      throw error
    }
  }

  /** Closes all clients, those that are retired too, and cuts what is under way. */
  async close(): Promise<void> {
    await closeAll([...this.#ships.values()])
    await Promise.all([...this.#retired].map((client) => client.close()))
  }

  #reuse(config: UpstreamConfig, offline: boolean): Ship | undefined {
    const ship = this.#ships.get(config.name)
    if (ship === undefined || (ship.client === undefined) !== offline) return undefined
    if (!isDeepStrictEqual(ship.upstream.config, config)) return undefined
    return offline || isDeepStrictEqual(ship.tls, readOwnFiles(config)) ? ship : undefined
  }

  #build(config: UpstreamConfig, offline: boolean): Ship {
    if (offline) {
      const registry = new OfflineRegistry(config.name)
      return { upstream: { config, registry }, client: undefined, tls: undefined }
    }
    const tls = readOwnFiles(config)
    const client = createRegistry(config, this.#dependencies, tls)
    return { upstream: { config, registry: client }, client, tls }
  }

  #commit(before: ReadonlyMap<string, Ship>, after: ReadonlyMap<string, Ship>): void {
    if (this.#ships !== before) throw new Error('another configuration has come in between')
    this.#ships = after
    for (const [name, { client }] of before) {
      if (client !== undefined && client !== after.get(name)?.client) this.#retire(client)
    }
  }

  #retire(client: RegistryClient): void {
    this.#retired.add(client)
    client
      .retire()
      .catch((reason: unknown) => this.#complain(reason))
      .finally(() => this.#retired.delete(client))
  }

  #complain(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    this.#dependencies.logger.warn({ reason }, 'an unused client was not closed in order')
  }
}

/** @throws {Error} that names the upstream, too */
function readOwnFiles(config: UpstreamConfig): TlsMaterial {
  try {
    return readTlsFiles(config)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`${config.name}: ${reason}`, { cause })
  }
}

async function closeAll(ships: readonly Ship[]): Promise<void> {
  await Promise.all(ships.map(async ({ client }) => client?.close()))
}
