import { isDeepStrictEqual } from 'node:util'

import type { FrontDoor } from '../access/front-door.ts'
import type { Config } from '../config/config.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { RegistryApi } from './registry-api.ts'
import type { Site } from './site.ts'

export interface TakeoverParts {
  readonly site: Site
  readonly registry: RegistryApi
  readonly openDoor: (wanted: Config) => Promise<FrontDoor>
  readonly isStopping: () => boolean
  /** Told when another configuration is in effect. */
  readonly onTaken: (loaded: LoadedConfig) => void
}

/**
 * What a reload does with a configuration that can be read: all of it is prepared, then all of it
 * is in effect.
 */
export function createTakeover(parts: TakeoverParts): (loaded: LoadedConfig) => Promise<void> {
  const { site, registry, openDoor, isStopping, onTaken } = parts
  return async (loaded) => {
    const { config: wanted } = loaded
    const prepared = site.prepare(wanted)
    const isSameDoor = isDeepStrictEqual(wanted.auth, site.config().auth)
    let { frontDoor } = registry
    try {
      if (!isSameDoor) frontDoor = await openDoor(wanted)
      if (isStopping()) throw new Error('the server is stopping')
    } catch (error) {
      await prepared.abandon()
      throw error
    }
    // Nothing fails from here on, and nothing comes in between.
    prepared.commit()
    registry.reenter(frontDoor)
    onTaken(loaded)
  }
}
