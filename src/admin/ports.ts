import type { Activity } from './ports/activity.ts'
import type { Exporting, Importing } from './ports/bundles.ts'
import type { Configuration, Names, Reloading } from './ports/configuration.ts'
import type { Images } from './ports/images.ts'
import type { NodeSetups } from './ports/node-setups.ts'
import type { Overview } from './ports/overview.ts'
import type { Pins } from './ports/pins.ts'
import type { PreloadRuns } from './ports/preload-runs.ts'
import type { Checking, Preloading } from './ports/preloading.ts'
import type { Removal } from './ports/removal.ts'
import type { Storage } from './ports/storage.ts'
import type { Upstreams } from './ports/upstreams.ts'
import type { Verification } from './ports/verification.ts'

/** What the admin API asks of the other rooms, each as narrow as it is used. */
export interface AdminPorts {
  readonly names: Names
  readonly reloading: Reloading
  readonly pins: Pins
  readonly removal: Removal
  readonly verification: Verification
  readonly storage: Storage
  readonly upstreams: Upstreams
  readonly preloading: Preloading
  readonly runs: PreloadRuns
  readonly checking: Checking
  readonly importing: Importing
  readonly exporting: Exporting
  readonly images: Images
  readonly activity: Activity
  readonly overview: Overview
  readonly configuration: Configuration
  readonly nodeSetups: NodeSetups
}
