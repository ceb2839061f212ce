import type { RequestListener } from 'node:http'

import type { Origins } from '../api/origins.ts'
import { Listener, type ListenerOptions } from '../listener.ts'
import { watchConnections } from './connections.ts'
import { type HiredCrew, hireCrew } from './crew.ts'
import { withNamed } from './named-files.ts'
import type { AppOptions } from './options.ts'
import { reasonOf } from './reason.ts'
import type { Site } from './site.ts'

export interface RegistryPortParts {
  readonly site: Site
  readonly options: AppOptions
  readonly handler: RequestListener
  readonly origins: Origins
}

/** Where nodes connect: to this process, or to workers, for whom it steps in when there are none. */
export class RegistryPort {
  readonly #listener: Listener
  readonly #hired: HiredCrew | undefined
  readonly #count: number

  constructor(parts: RegistryPortParts) {
    const { site, options, handler } = parts
    const { listen: address, tls, workers } = site.config().server
    const { logger, tlsLookMs } = options
    const material = () => this.#listener.material
    const hired = workers > 1 ? hireCrew({ ...parts, material }) : undefined
    this.#hired = hired
    this.#count = workers
    const settings: ListenerOptions = {
      address,
      tls,
      handler,
      ...(tlsLookMs === undefined ? {} : { tlsLookMs }),
      ...(hired === undefined
        ? { onConnections: watchConnections(site.metrics, logger) }
        : {
            divert: (socket) => hired.crew.take(socket),
            onSecured: (changed) => hired.crew.secure(changed),
          }),
      onTlsError(error) {
        logger.error({ reason: reasonOf(error) }, 'changed certificates cannot be used')
      },
    }
    this.#listener = withNamed('server.tls', () => new Listener(settings))
    site.metrics.instance.follow('server', () => this.#listener.certificateExpiresAt)
  }

  get url(): string {
    return this.#listener.url
  }

  /** What an operator should know; `undefined`: nothing. */
  get warning(): string | undefined {
    if (this.#hired === undefined || this.#hired.crew.isComplete) return undefined
    const { running } = this.#hired.crew.readings()
    return `${running} of ${this.#count} workers are running: the others are being replaced`
  }

  async listen(): Promise<void> {
    await this.#listener.listen()
    await this.#hired?.start()
  }

  /** Takes no new connections, and lets answers under way end for at most so long. */
  async close(drainMs: number): Promise<void> {
    await Promise.all([this.#listener.close(drainMs), this.#hired?.close(drainMs)])
  }

  /** Ends every connection now. */
  destroy(): void {
    this.#listener.destroy()
    this.#hired?.crew.hurry()
  }
}
