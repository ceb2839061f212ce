import type { RequestHandler } from 'express'

import type { Logger } from '../log.ts'
import { activityEndpoints } from './activity.ts'
import type { Admission } from './authority.ts'
import { authorityEndpoint } from './authority-endpoint.ts'
import { checkEndpoint } from './check.ts'
import { configurationEndpoint } from './configuration.ts'
import type { Endpoint } from './endpoint.ts'
import { exportEndpoints } from './export.ts'
import { gcEndpoint } from './gc.ts'
import { imageEndpoints } from './images.ts'
import { importEndpoint } from './import.ts'
import { jobEndpoints } from './jobs.ts'
import { nodeConfigEndpoint } from './node-config.ts'
import { openApiEndpoint } from './openapi.ts'
import { overviewEndpoints } from './overview.ts'
import { pinsEndpoint } from './pins.ts'
import type { AdminPorts } from './ports.ts'
import { preloadEndpoint } from './preload.ts'
import { purgeEndpoint } from './purge.ts'
import { reloadEndpoint } from './reload.ts'
import { createRouter } from './router.ts'
import { storageEndpoints } from './storage.ts'
import { upstreamEndpoints } from './upstreams.ts'
import { VerifyEndpoint } from './verify.ts'

export interface AdminApiOptions {
  readonly ports: AdminPorts
  readonly authority: Admission
  readonly logger: Logger
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
}

/** `/api/v1`: what fails is `{ error: { code, message, problems? } }`. */
export function createAdminApi(options: AdminApiOptions): RequestHandler {
  return createRouter(endpointsOf(options), options)
}

/** All that the API has, with the document that describes it. */
export function endpointsOf({
  ports,
  monotonic,
}: Pick<AdminApiOptions, 'ports' | 'monotonic'>): readonly Endpoint[] {
  const {
    names,
    reloading,
    pins,
    removal,
    verification,
    storage,
    upstreams,
    preloading,
    runs,
    checking,
    importing,
    exporting,
    images,
    activity,
    overview,
    configuration,
    nodeSetups,
  } = ports
  const endpoints = [
    ...overviewEndpoints(overview),
    ...imageEndpoints(images, names),
    ...activityEndpoints(activity),
    configurationEndpoint(configuration),
    authorityEndpoint(),
    nodeConfigEndpoint(nodeSetups),
    reloadEndpoint(reloading),
    pinsEndpoint(pins, names),
    purgeEndpoint(removal, names),
    gcEndpoint(removal),
    new VerifyEndpoint({ verification, monotonic }),
    preloadEndpoint({ preloading, monotonic }),
    ...jobEndpoints(runs),
    checkEndpoint({ checking, monotonic }),
    ...exportEndpoints(exporting),
    importEndpoint({ importing, monotonic }),
    ...storageEndpoints(storage),
    ...upstreamEndpoints(upstreams),
  ]
  return [...endpoints, openApiEndpoint(endpoints)]
}
