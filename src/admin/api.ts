import express, {
  type NextFunction,
  type Request,
  type RequestHandler,
  type Response,
  Router,
} from 'express'

import type { Logger } from '../log.ts'
import { Audit } from './audit.ts'
import { type Authority, type Right, unmapped } from './authority.ts'
import type { Change, Endpoint } from './endpoint.ts'
import { AdminError } from './errors.ts'
import { gcEndpoint } from './gc.ts'
import { pinsEndpoint } from './pins.ts'
import type { AdminPorts } from './ports.ts'
import { purgeEndpoint } from './purge.ts'
import { reloadEndpoint } from './reload.ts'
import { storageEndpoint } from './storage.ts'
import { upstreamsEndpoint } from './upstreams.ts'
import { VerifyEndpoint } from './verify.ts'

const MAX_BODY_BYTES = 64 * 1024

export interface AdminApiOptions {
  readonly ports: AdminPorts
  readonly authority: Authority
  readonly logger: Logger
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
}

/** `/api/v1`: JSON in, JSON out; what fails is `{ error: { code, message, problems? } }`. */
export function createAdminApi(options: AdminApiOptions): RequestHandler {
  const { logger, authority } = options
  const audit = new Audit(logger)
  const router = Router()
  router.use((_request, response, next) => {
    response.setHeader('Cache-Control', 'no-store')
    next()
  })
  for (const endpoint of endpointsOf(options)) mount(router, endpoint, authority, audit)
  router.use(() => {
    throw new AdminError('NOT_FOUND', { message: 'the admin API has no such path' })
  })
  router.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    answerError(error, request, response, logger)
  })
  return router
}

function endpointsOf({ ports, monotonic }: AdminApiOptions): readonly Endpoint[] {
  const { names, reloading, pins, removal, verification, storage, upstreams } = ports
  return [
    reloadEndpoint(reloading),
    pinsEndpoint(pins, names),
    purgeEndpoint(removal, names),
    gcEndpoint(removal),
    new VerifyEndpoint({ verification, monotonic }),
    storageEndpoint(storage),
    upstreamsEndpoint(upstreams),
  ]
}

function mount(router: Router, endpoint: Endpoint, authority: Authority, audit: Audit): void {
  const { path, read, post, delete: remove } = endpoint
  const route = router.route(path)
  if (read !== undefined) {
    route.get(async (request, response) => {
      authority.admitReader(request)
      response.json(await read())
    })
  }
  for (const [method, change] of [['post', post] as const, ['delete', remove] as const]) {
    if (change !== undefined) route[method](...changeHandlers(change, authority, audit))
  }
  const allowed = [read && 'GET, HEAD', post && 'POST', remove && 'DELETE'].filter(Boolean)
  route.all(() => {
    throw new AdminError('METHOD_NOT_ALLOWED', { headers: { Allow: allowed.join(', ') } })
  })
}

/** Who asks is settled before any of the body is read. */
function changeHandlers(change: Change, authority: Authority, audit: Audit): RequestHandler[] {
  const { action } = change
  const admit: RequestHandler = async (request, response, next) => {
    try {
      response.locals['by'] = await authority.admitChange(request)
    } catch (error) {
      if (error instanceof AdminError) audit.refused({ action, peer: peerOf(request) }, error)
      throw error
    }
    next()
  }
  const read = express.json({ limit: MAX_BODY_BYTES, inflate: false })
  return [
    admit,
    read,
    async (request, response) => {
      const input: unknown = request.method === 'DELETE' ? { ...request.query } : request.body
      const { parameters, run } = change.prepare(input ?? {})
      const by = response.locals['by'] as Right
      const changed = { action, peer: peerOf(request), by, parameters }
      try {
        const { body, result = body } = await run(response)
        audit.done(changed, result ?? {})
        if (body !== undefined) response.json(body)
      } catch (error) {
        audit.failed(changed, error)
        throw error
      }
    },
  ]
}

function peerOf({ socket }: Request): string {
  return unmapped(socket.remoteAddress ?? '')
}

function answerError(error: unknown, request: Request, response: Response, logger: Logger): void {
  const shown = toAdminError(error)
  if (shown.code === 'INTERNAL') {
    const { method, path } = request
    logger.error({ method, path, stack: error instanceof Error ? error.stack : error }, 'admin API')
  }
  if (response.headersSent) return
  // What is left of a refused body is not read: the connection cannot be used for another request.
  if (!request.complete) response.setHeader('Connection', 'close')
  response.status(shown.status).set(shown.headers).json(shown)
}

/** What express and its body parser throw has a status. */
function toAdminError(error: unknown): AdminError {
  if (error instanceof AdminError) return error
  const status = error instanceof Error && 'status' in error ? error.status : undefined
  if (status === 413) {
    const message = `the body is larger than ${MAX_BODY_BYTES} bytes`
    return new AdminError('TOO_LARGE', { message, cause: error })
  }
  if (status === 415) return new AdminError('UNSUPPORTED_MEDIA_TYPE', { cause: error })
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new AdminError('INVALID', { message: 'the body is not JSON', cause: error })
  }
  return new AdminError('INTERNAL', { cause: error })
}
