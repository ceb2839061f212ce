import type { IncomingMessage, ServerResponse } from 'node:http'

import express, { type Express } from 'express'

import type { FrontDoor } from '../access/front-door.ts'
import type { Gate } from '../access/gate.ts'
import type { Asked } from '../access/proof.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { RegistryError } from '../oci/errors.ts'
import { formatReference } from '../oci/reference.ts'
import type { Blobs } from '../pull/blobs.ts'
import type { Lists } from '../pull/lists.ts'
import type { Manifests } from '../pull/manifests.ts'
import type { Pull } from '../pull/pull.ts'
import type { Target, Upstreams } from '../upstream/routing.ts'
import { serveBlob } from './blobs.ts'
import { BodyWriter } from './body.ts'
import { answerError } from './errors.ts'
import { Exchange } from './exchange.ts'
import { serveReferrers, serveTags } from './lists.ts'
import { serveManifest } from './manifests.ts'
import type { Origins } from './origins.ts'
import type { Passthrough, WriteRoute } from './passthrough.ts'
import { servePing } from './ping.ts'
import type { Probes } from './probes.ts'
import type { OnEnded } from './request-record.ts'
import { type Address, parseRoute, type Route } from './route.ts'

/** What a reload exchanges. A request keeps what it began with. */
export interface Entry {
  readonly upstreams: Upstreams
  readonly frontDoor: FrontDoor
}

export interface ApiOptions {
  readonly entry: () => Entry
  readonly origins: Pick<Origins, 'of'>
  readonly gate: Gate
  readonly manifests: Manifests
  readonly blobs: Blobs
  readonly lists: Lists
  readonly passthrough: Passthrough
  readonly probes: Probes
  readonly metrics: Metrics
  readonly logger: Logger
  readonly onEnded?: OnEnded
}

/** Of an upstream with `writes: deny`: what `docker push` shows to whoever took it for a registry. */
const READ_ONLY = { message: 'this is a cache for pulls: push to the registry, and delete there' }
const HOST = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?$/

type ContentRoute = Exclude<Route, { kind: 'ping' | 'upload' }>

/** The registry API: one request from its target to its answer. */
export function createApi(options: ApiOptions): Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', false)
  const bodies = new BodyWriter()
  app.use(async (request, response) => {
    if (options.probes.answers(request, response)) return
    await answer(options, bodies, request, response)
  })
  return app
}

async function answer(
  options: ApiOptions,
  bodies: BodyWriter,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { metrics, logger, onEnded, origins } = options
  const origin = origins.of(request)
  const exchange = new Exchange({ metrics, logger, onEnded, request, response, origin, bodies })
  try {
    const route = parseRoute(request.url ?? '')
    exchange.handledBy(route.kind)
    await serve(options, exchange, route)
  } catch (error) {
    answerError(exchange, error)
  }
}

async function serve(options: ApiOptions, exchange: Exchange, route: Route): Promise<void> {
  const { upstreams, frontDoor } = options.entry()
  const caller = await frontDoor.enter(exchange.request, exchange.origin.peer)
  if (route.kind === 'ping') {
    refuseWrites(exchange, false)
    return servePing(exchange, caller, upstreams)
  }
  const target = resolve(upstreams, options.logger, exchange, route.address)
  exchange.aimedAt(target, referenceOf(route))
  const { config } = target.upstream
  const admitTo = ({ upstream, repository }: Target) =>
    frontDoor.admit(caller, `${upstream.config.name}/${repository}`)
  admitTo(target)
  if (isWrite(exchange) || route.kind === 'upload') {
    const { as, writeRoute } = write(exchange, target, route, caller.credential)
    return options.passthrough.pass(exchange, target, writeRoute, as, admitTo)
  }
  const place = { upstream: config.name, repository: target.repository }
  const as = await options.gate.admit(caller, target.upstream, place, askedOf(route))
  exchange.whenPulled((outcome) => options.gate.proved(target.upstream, place, as, outcome))
  await serveContent(options, exchange, { upstream: target.upstream, place, as }, route)
}

/** What is configured is for the operator to know: the caller is told only what is not. */
function resolve(
  upstreams: Upstreams,
  logger: Logger,
  exchange: Exchange,
  address: Address,
): Target {
  try {
    return upstreams.resolve(address.ns, address.name)
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'NAME_UNKNOWN') {
      const configured = upstreams.all.flatMap(({ config }) => config.match)
      // What a query says is logged only where it is plainly the name of a host.
      const ns = HOST.test(address.ns ?? '') ? address.ns : undefined
      logger.info({ request: exchange.id, ns, configured }, 'no such registry is configured')
    }
    throw error
  }
}

async function serveContent(
  { manifests, blobs, lists }: ApiOptions,
  exchange: Exchange,
  pull: Pull,
  route: ContentRoute,
): Promise<void> {
  switch (route.kind) {
    case 'manifest':
      return serveManifest(exchange, manifests, pull, route.reference)
    case 'blob':
      return serveBlob(exchange, blobs, pull, route.digest)
    case 'tags':
      return serveTags(exchange, lists, pull, route)
    case 'referrers':
      return serveReferrers(exchange, lists, pull, route.subject, route.artifactType)
    default:
      return route satisfies never
  }
}

function write(
  exchange: Exchange,
  target: Target,
  route: Exclude<Route, { kind: 'ping' }>,
  credential: Pull['as'] | undefined,
): { readonly as: Pull['as']; readonly writeRoute: WriteRoute } {
  const isPassedThrough = target.upstream.config.writes === 'passthrough'
  refuseWrites(exchange, isPassedThrough)
  if (route.kind === 'tags' || route.kind === 'referrers' || !isPassedThrough) throw notAllowed()
  exchange.pulled({ result: 'bypass' })
  return { as: credential ?? { kind: 'anonymous' }, writeRoute: route }
}

function refuseWrites(exchange: Exchange, isPassedThrough: boolean): void {
  const method = exchange.request.method ?? ''
  if (!isPassedThrough && method !== 'GET' && method !== 'HEAD') throw notAllowed(READ_ONLY)
  if (!['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method)) throw notAllowed()
}

function notAllowed(options: { readonly message?: string } = {}): RegistryError {
  return new RegistryError('UNSUPPORTED', { ...options, headers: { Allow: 'GET, HEAD' } })
}

function isWrite({ request }: Exchange): boolean {
  return request.method !== 'GET' && request.method !== 'HEAD'
}

function askedOf(route: ContentRoute): Asked {
  switch (route.kind) {
    case 'manifest':
      return { kind: 'manifest', reference: route.reference }
    case 'blob':
      return { kind: 'blob', digest: route.digest }
    case 'tags':
      return { kind: 'tags' }
    case 'referrers':
      return { kind: 'referrers', subject: route.subject }
    default:
      return route satisfies never
  }
}

function referenceOf(route: Exclude<Route, { kind: 'ping' }>): string | undefined {
  switch (route.kind) {
    case 'manifest':
      return formatReference(route.reference)
    case 'blob':
      return route.digest
    case 'referrers':
      return route.subject
    default:
      return undefined
  }
}
