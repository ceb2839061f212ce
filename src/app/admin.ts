import { createAdminApi } from '../admin/api.ts'
import type { Admission } from '../admin/authority.ts'
import { createAdmin } from '../admin/server.ts'
import type { Probes } from '../api/probes.ts'
import type { Logger } from '../log.ts'
import { createAdminPorts } from './admin-ports.ts'
import type { Airgap } from './airgap.ts'
import { createExport } from './export.ts'
import type { Reloading } from './reload.ts'
import type { Site } from './site.ts'

export interface AdminParts {
  readonly site: Site
  readonly reloading: Reloading
  readonly airgap: Airgap
  /** Who may read and change by it. */
  readonly authority: Admission
  readonly probes: Probes
  readonly logger: Logger
}

/** What operators and their tools talk to. */
export function createAdminHandler(parts: AdminParts) {
  const { site, reloading, airgap, authority, probes, logger } = parts
  const { store, metrics, monotonic } = site
  const ports = createAdminPorts({
    store,
    upstreams: () => site.upstreams(),
    reloading,
    airgap,
    exporting: createExport(site),
  })
  const api = createAdminApi({ ports, authority, logger, monotonic })
  return createAdmin({ probes, metrics, api })
}
