import { createAdminApi } from '../admin/api.ts'
import type { Admission } from '../admin/authority.ts'
import { createPage } from '../admin/page.ts'
import { createAdmin } from '../admin/server.ts'
import type { Runs } from '../airgap/runs.ts'
import type { Probes } from '../api/probes.ts'
import type { Config } from '../config/config.ts'
import { renderConfig } from '../config/print.ts'
import type { Logger } from '../log.ts'
import { createAdminPorts } from './admin-ports.ts'
import type { Airgap } from './airgap.ts'
import { createExport } from './export.ts'
import { createImages } from './images.ts'
import { createImporting } from './importing.ts'
import { createNodeSetups } from './node-setups.ts'
import type { Origins } from './options.ts'
import { createOverview } from './overview.ts'
import { createPreloading } from './preloading.ts'
import type { Reloading } from './reload.ts'
import { runsPort } from './runs.ts'
import type { Site } from './site.ts'
import type { Traffic } from './traffic.ts'
import { createUpstreamReports } from './upstream-reports.ts'

export interface AdminParts {
  readonly site: Site
  readonly reloading: Reloading
  /** Where each value of the configuration in effect comes from, by its dotted path. */
  readonly origins: () => Origins
  readonly airgap: Airgap
  readonly runs: Runs
  /** Who may read and change by it. */
  readonly authority: Admission
  /** Who has asked for what. */
  readonly traffic: Traffic
  readonly probes: Probes
  /** Where the registry API really listens; 0: nowhere. */
  readonly registryPort: () => number
  readonly logger: Logger
}

/** What operators and their tools talk to. */
export function createAdminHandler(parts: AdminParts) {
  const {
    site,
    reloading,
    origins,
    airgap,
    runs,
    authority,
    traffic,
    probes,
    logger,
    registryPort,
  } = parts
  const { store, metrics, monotonic } = site
  const ports = createAdminPorts({
    store,
    routes: () => site.upstreams(),
    upstreams: createUpstreamReports(site),
    reloading,
    airgap,
    preloading: createPreloading(airgap, runs),
    runs: runsPort({ site, airgap }, runs),
    exporting: createExport(site),
    importing: createImporting(site),
    images: createImages(store),
    activity: traffic,
    overview: createOverview(site, () => probes.warnings()),
    nodeSetups: createNodeSetups(() => site.config(), registryPort),
    configuration: { read: () => configurationOf(site.config(), origins()) },
  })
  const api = createAdminApi({ ports, authority, logger, monotonic })
  return createAdmin({ probes, metrics, api, page: createPage(), monotonic })
}

function configurationOf(config: Config, origins: Origins) {
  return { config: renderConfig(config), origins: Object.fromEntries(origins) }
}
