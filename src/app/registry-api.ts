import type { FrontDoor } from '../access/front-door.ts'
import type { Origins } from '../api/origins.ts'
import { Passthrough } from '../api/passthrough.ts'
import type { Probes } from '../api/probes.ts'
import type { OnEnded } from '../api/request-record.ts'
import { createApi, type Entry } from '../api/server.ts'
import type { Logger } from '../log.ts'
import type { Site } from './site.ts'

export interface RegistryApiParts {
  readonly site: Site
  readonly origins: Origins
  readonly frontDoor: FrontDoor
  readonly probes: Probes
  readonly logger: Logger
  /** Told of each request at its end. */
  readonly onEnded: OnEnded
}

/** What nodes talk to. */
export interface RegistryApi {
  readonly handler: ReturnType<typeof createApi>
  readonly frontDoor: FrontDoor
  /** Goes on with this front door, and with the upstreams that the site has now. */
  reenter(frontDoor: FrontDoor): void
  close(): void
}

export function createRegistryApi({
  site,
  origins,
  frontDoor,
  probes,
  logger,
  onEnded,
}: RegistryApiParts): RegistryApi {
  const { metrics, pull, gate } = site
  const { manifests, blobs, lists } = pull
  let entry: Entry = { upstreams: site.upstreams(), frontDoor }
  const passthrough = new Passthrough({
    upstreams: () => entry.upstreams,
    onChanging: pull.changing,
    onChanged: pull.changed,
  })
  const handler = createApi({
    entry: () => entry,
    origins,
    gate,
    manifests,
    blobs,
    lists,
    passthrough,
    probes,
    metrics,
    logger,
    onEnded,
  })
  return {
    handler,
    get frontDoor() {
      return entry.frontDoor
    },
    reenter(wanted) {
      entry = { upstreams: site.upstreams(), frontDoor: wanted }
      gate.forget()
      passthrough.retain(new Set(entry.upstreams.all.map((upstream) => upstream.config)))
    },
    close: () => passthrough.close(),
  }
}
