import type { RequestListener } from 'node:http'
import { extname, join } from 'node:path'

import type { Origins } from '../api/origins.ts'
import type { TlsMaterial } from '../listener/certificates.ts'
import { connectionCap, descriptorLimit, PER_ADDRESS } from '../listener/connections.ts'
import { Crew, type CrewEvents } from '../workers/crew.ts'
import { Desk } from '../workers/desk.ts'
import { watchConnections } from './connections.ts'
import { shareOfChunks } from './memory.ts'
import type { AppOptions } from './options.ts'
import type { Site } from './site.ts'

export interface CrewParts {
  readonly site: Site
  readonly options: AppOptions
  /** Answers what workers pass on. */
  readonly handler: RequestListener
  readonly origins: Origins
  /** What is shown to clients now; `undefined`: they come in the clear. */
  readonly material: () => TlsMaterial | undefined
}

/** Workers, and where they ask. */
export interface HiredCrew {
  readonly crew: Crew
  start(): Promise<void>
  close(drainMs: number): Promise<void>
}

/** What a worker takes over of the flags that this process was started with. */
const MEMORY_FLAG = /^--max-/

export function hireCrew(parts: CrewParts): HiredCrew {
  const { site, options, handler, origins, material } = parts
  const { environment = {}, leastParcelBytes, patienceMs } = options.workers ?? {}
  const { storage, server } = site.config()
  const desk = new Desk({ handler, origins, leastParcelBytes, patienceMs })
  const { workers: count } = server
  const setup = () => ({
    socketPath: desk.path,
    secret: desk.secret,
    path: storage.path,
    chunkCacheBytes: shareOfChunks(site.config()).worker,
    material: material(),
    connections: {
      total: Math.ceil(connectionCap(descriptorLimit()) / count),
      perAddress: Math.ceil(PER_ADDRESS / count),
    },
  })
  const program = join(import.meta.dirname, `worker${extname(import.meta.filename)}`)
  const flags = process.execArgv.filter((flag) => MEMORY_FLAG.test(flag))
  const crew = new Crew({ count, program, flags, environment, setup, events: eventsOf(parts) })
  site.metrics.workers.follow(() => crew.readings())
  return {
    crew,
    async start() {
      await desk.open()
      await crew.start()
    },
    async close(drainMs) {
      await crew.drain(drainMs)
      desk.close()
    },
  }
}

function eventsOf({ site, options }: CrewParts): CrewEvents {
  const { metrics } = site
  const { logger } = options
  return {
    ...watchConnections(metrics, logger),
    ready: ({ worker, pid }) => logger.debug({ worker, pid }, 'a worker is ready'),
    ended({ worker, pid }, { code, signal }, delayMs) {
      metrics.workers.restarted()
      const why = signal ?? `exit code ${code}`
      logger.warn({ worker, pid, why, delayMs }, 'a worker has ended: another takes its place')
    },
  }
}
