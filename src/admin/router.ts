import express, { type Request, type RequestHandler, type Response, Router } from 'express'

import { unmapped } from '../access/peer.ts'
import type { Logger } from '../log.ts'
import { Audit } from './audit.ts'
import type { Admission, Right } from './authority.ts'
import type { Asked, Change, Endpoint, Outcome, Upload } from './endpoint.ts'
import { AdminError } from './errors.ts'
import { answerErrors } from './failures.ts'
import { JSON_TYPE } from './media-types.ts'

const MAX_BODY_BYTES = 64 * 1024

export interface RouterOptions {
  readonly authority: Admission
  readonly logger: Logger
}

/** Endpoints, with who may use them, what the log says of it, and what is answered to a failure. */
export function createRouter(
  endpoints: readonly Endpoint[],
  { authority, logger }: RouterOptions,
): RequestHandler {
  const audit = new Audit(logger)
  const router = Router()
  router.use((_request, response, next) => {
    response.setHeader('Cache-Control', 'no-store')
    next()
  })
  for (const endpoint of endpoints) mount(router, endpoint, authority, audit)
  router.use(() => {
    throw new AdminError('NOT_FOUND', { message: 'the admin API has no such path' })
  })
  router.use(answerErrors(logger))
  return router
}

function mount(router: Router, endpoint: Endpoint, authority: Admission, audit: Audit): void {
  const { path, read, follow, post, delete: remove } = endpoint
  const route = router.route(path)
  if (read !== undefined) {
    route.get(async (request, response) => {
      authority.admitReader(request)
      response.json(await read(askedOf(request, authority)))
    })
  }
  if (follow !== undefined) {
    route.get(async (request, response) => {
      authority.admitReader(request)
      const asked = askedOf(request, authority)
      const lastEventId = request.get('last-event-id')
      await follow({ ...asked, lastEventId, isHead: request.method === 'HEAD' }, response)
    })
  }
  for (const [method, change] of [['post', post] as const, ['delete', remove] as const]) {
    if (change === undefined) continue
    route[method](
      admission(change, authority, audit),
      ...(change.body === 'stream' ? uploading(change, audit) : changing(change, audit)),
    )
  }
  const allowed = [(read ?? follow) && 'GET, HEAD', post && 'POST', remove && 'DELETE'].filter(
    Boolean,
  )
  route.all(() => {
    throw new AdminError('METHOD_NOT_ALLOWED', { headers: { Allow: allowed.join(', ') } })
  })
}

function askedOf(request: Request, authority: Admission): Asked {
  return {
    query: { ...request.query },
    name: nameOf(request),
    host: request.headers.host,
    rightOf: () => authority.rightOf(request),
  }
}

/** Who asks is settled before any of the body is read. */
function admission(change: Change | Upload, authority: Admission, audit: Audit): RequestHandler {
  const { action } = change
  const mediaType = change.body === 'stream' ? change.mediaType : JSON_TYPE
  return async (request, response, next) => {
    try {
      response.locals['by'] = await authority.admitChange(request, mediaType)
    } catch (error) {
      if (error instanceof AdminError) audit.refused({ action, peer: peerOf(request) }, error)
      throw error
    }
    next()
  }
}

function changing(change: Change, audit: Audit): RequestHandler[] {
  return [
    express.json({ limit: change.maxBodyBytes ?? MAX_BODY_BYTES, inflate: false }),
    async (request, response) => {
      const input: unknown = request.method === 'DELETE' ? { ...request.query } : request.body
      const { parameters, run } = change.prepare(input ?? {}, nameOf(request))
      const work = { action: change.action, parameters, run: () => run(response) }
      await carryOut(work, request, response, audit)
    },
  ]
}

function uploading(upload: Upload, audit: Audit): RequestHandler[] {
  return [
    async (request, response) => {
      requireUncompressed(request, upload)
      const { parameters, run } = upload.prepare({ ...request.query })
      // Whoever stops in the middle of it still has to answer on the same connection.
      const body = request.iterator({ destroyOnReturn: false })
      const work = {
        action: upload.action,
        parameters,
        run: () => run(body, response).catch((error: unknown) => rethrow(error, request)),
      }
      try {
        await carryOut(work, request, response, audit)
      } finally {
        request.resume()
      }
    },
  ]
}

interface Work {
  readonly action: string
  readonly parameters: object
  run(): Promise<Outcome>
}

async function carryOut(
  { action, parameters, run }: Work,
  request: Request,
  response: Response,
  audit: Audit,
): Promise<void> {
  const by = response.locals['by'] as Right
  const changed = { action, peer: peerOf(request), by, parameters }
  try {
    const { body, result = body } = await run()
    audit.done(changed, result ?? {})
    if (body !== undefined) response.json(body)
  } catch (error) {
    audit.failed(changed, error)
    throw error
  }
}

function requireUncompressed({ headers }: Request, { mediaType }: Upload): void {
  if ((headers['content-encoding'] ?? 'identity') === 'identity') return
  const message = `this change is sent with Content-Type: ${mediaType}, not compressed`
  throw new AdminError('UNSUPPORTED_MEDIA_TYPE', { message })
}

/** That a client has gone in the middle of what it sends is no error of ours. */
function rethrow(error: unknown, request: Request): never {
  const isCut = request.destroyed && !request.complete
  if (!isCut || error instanceof AdminError) throw error
  throw new AdminError('INVALID', { message: 'the body ended before its end', cause: error })
}

/** Of `*name` slashes may be written as they are, or encoded. A path has one of them at most. */
function nameOf({ params }: Request): string {
  const [name]: readonly unknown[] = Object.values(params)
  return Array.isArray(name) ? name.join('/') : String(name ?? '')
}

function peerOf({ socket }: Request): string {
  return unmapped(socket.remoteAddress ?? '')
}
