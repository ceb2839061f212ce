import type { Digest } from '../../src/oci/digest.ts'
import type { Content } from './images.ts'
import { type Action, type AuthOptions, failure, RegistryAuth } from './registry-auth.ts'
import { RegistryContent } from './registry-content.ts'
import {
  listReferrers,
  listTags,
  type PullOptions,
  pullBlob,
  pullManifest,
} from './registry-pulls.ts'
import { RegistryPushes } from './registry-pushes.ts'
import {
  type Answer,
  type Matcher,
  type RecordedRequest,
  ScriptedServer,
} from './scripted-server.ts'

export interface FaultRegistryOptions extends PullOptions {
  readonly auth?: AuthOptions
  /** Blobs are redirected to a server on another port, as object storage is. */
  readonly redirectBlobs?: boolean
  /** Whether pushes are taken; default yes. */
  readonly writable?: boolean
  /** Whether upload locations are whole URLs; default no. */
  readonly absoluteLocations?: boolean
  readonly tls?: { readonly key: string; readonly cert: string }
}

/** A budget as Docker Hub counts it: GETs of manifests. */
export interface RateLimit {
  readonly limit: number
  remaining: number
  readonly windowSeconds: number
}

const ROUTE = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/(.+)$/
const UPLOADS = /^\/v2\/(.+)\/blobs\/uploads\/([^/]*)$/

/**
 * A registry on loopback that does what the specification says until it is told otherwise: see
 * {@link ScriptedServer.script} and `faults.ts`.
 */
export class FaultRegistry extends ScriptedServer {
  readonly content = new RegistryContent()
  readonly auth: RegistryAuth
  /** Where blobs are redirected to; it records what it is sent, and can be scripted too. */
  readonly cdn: ScriptedServer
  /** The token endpoint: this very server, unless it has a port of its own. */
  readonly tokens: ScriptedServer
  /** Set it to send Docker Hub's headers, and 429 when nothing remains. */
  rateLimit: RateLimit | undefined
  readonly #options: FaultRegistryOptions
  readonly #pushes: RegistryPushes

  constructor(options: FaultRegistryOptions = {}) {
    super((request) => this.#answer(request), options.tls)
    this.#options = options
    this.auth = new RegistryAuth(options.auth ?? { kind: 'none' })
    this.cdn = new ScriptedServer((request) => this.#serveFromCdn(request))
    const hasOwnPort = options.auth?.ownTokenPort === true
    this.tokens = hasOwnPort ? new ScriptedServer((request) => this.auth.issue(request)) : this
    this.#pushes = new RegistryPushes(this.content, () =>
      options.absoluteLocations === true ? this.origin : '',
    )
  }

  override async start(port = 0): Promise<this> {
    await super.start(port)
    await this.cdn.start()
    if (this.tokens !== this) await this.tokens.start()
    this.auth.realm = `${this.tokens.origin}/token`
    return this
  }

  override async close(): Promise<void> {
    await super.close()
    await this.cdn.close()
    if (this.tokens !== this) await this.tokens.close()
  }

  add(repository: string, content: Content, ...tags: readonly string[]): Digest {
    return this.content.add(repository, content, ...tags)
  }

  /** Requests to the token endpoint. */
  countTokens(matcher: Omit<Matcher, 'path'> = {}): number {
    return this.tokens.count({ ...matcher, path: '/token' })
  }

  /** GETs of blobs, of one or of all. */
  countBlobs(digest?: Digest): number {
    return this.count({ method: 'GET', path: new RegExp(`/blobs/${digest ?? ''}`) })
  }

  /** Requests for manifests, of one reference or of all. */
  countManifests(method: 'GET' | 'HEAD', reference?: string): number {
    const path = reference === undefined ? /\/manifests\// : undefined
    const where = ({ path }: RecordedRequest) => path.endsWith(`/manifests/${reference}`)
    return this.count({ method, ...(path === undefined ? { where } : { path }) })
  }

  #answer(request: RecordedRequest): Answer {
    if (request.path === '/token' && this.tokens === this) return this.auth.issue(request)
    const [, uploadsOf, id = ''] = UPLOADS.exec(request.path) ?? []
    const [, pulledFrom, kind, last = ''] = ROUTE.exec(request.path) ?? []
    const name = uploadsOf ?? pulledFrom
    const refused = this.auth.check(request, name, actionOf(request.method))
    if (refused !== undefined) return refused
    if (request.path === '/v2/') return { status: 200, headers: VERSION, body: {} }
    if (name === undefined) return failure(404, 'NAME_UNKNOWN')
    const answer =
      request.method === 'GET' || request.method === 'HEAD'
        ? this.#pull(request, name, uploadsOf === undefined ? kind : 'uploads', last, id)
        : this.#push(request, name, uploadsOf === undefined ? kind : 'uploads', last, id)
    return { ...answer, headers: { ...VERSION, ...answer.headers } }
  }

  #pull(
    request: RecordedRequest,
    name: string,
    kind: string | undefined,
    last: string,
    id: string,
  ): Answer {
    switch (kind) {
      case 'manifests':
        return this.#limit(request, () => pullManifest(this.content, name, last))
      case 'blobs':
        return this.#pullBlob(request, name, last)
      case 'tags':
        return listTags(this.content, name, request, this.#options)
      case 'referrers':
        return listReferrers(this.content, name, last, request, this.#options)
      default:
        return this.#pushes.proceed(name, id, request)
    }
  }

  #pullBlob(request: RecordedRequest, name: string, digest: string): Answer {
    const bytes = this.content.getBlob(name, digest)
    if (bytes === undefined || this.#options.redirectBlobs !== true) {
      return pullBlob(bytes, digest, request, this.#options)
    }
    const location = `${this.cdn.origin}/storage/${name}/${digest}?signature=secret-of-the-cdn`
    return { status: 307, headers: { location } }
  }

  #serveFromCdn(request: RecordedRequest): Answer {
    const [, name = '', digest = ''] = /^\/storage\/(.+)\/([^/]+)$/.exec(request.path) ?? []
    // Object storage refuses a request that is signed and also carries a credential.
    if (request.headers.authorization !== undefined) return { status: 400 }
    return pullBlob(this.content.getBlob(name, digest), digest, request, this.#options)
  }

  #push(
    request: RecordedRequest,
    name: string,
    kind: string | undefined,
    last: string,
    id: string,
  ): Answer {
    if (this.#options.writable === false) return failure(405, 'UNSUPPORTED')
    const { method } = request
    if (kind === 'uploads') {
      return method === 'POST' && id === ''
        ? this.#pushes.begin(name, request)
        : this.#pushes.proceed(name, id, request)
    }
    if (kind === 'manifests' && method === 'PUT') {
      return this.#pushes.putManifest(name, last, request)
    }
    if (kind === 'manifests' && method === 'DELETE') return this.#pushes.deleteManifest(name, last)
    if (kind === 'blobs' && method === 'DELETE') return this.#pushes.deleteBlob(name, last)
    return failure(405, 'UNSUPPORTED')
  }

  #limit(request: RecordedRequest, pull: () => Answer): Answer {
    const { rateLimit } = this
    if (rateLimit === undefined) return pull()
    const { limit, windowSeconds } = rateLimit
    if (request.method === 'GET' && rateLimit.remaining-- <= 0) {
      rateLimit.remaining = 0
      const refused = failure(429, 'TOOMANYREQUESTS')
      return { ...refused, headers: { ...refused.headers, 'retry-after': String(windowSeconds) } }
    }
    const answer = pull()
    const headers = {
      'ratelimit-limit': `${limit};w=${windowSeconds}`,
      'ratelimit-remaining': `${rateLimit.remaining};w=${windowSeconds}`,
    }
    return { ...answer, headers: { ...answer.headers, ...headers } }
  }
}

const VERSION = { 'docker-distribution-api-version': 'registry/2.0' }

function actionOf(method: string): Action {
  if (method === 'GET' || method === 'HEAD') return 'pull'
  return method === 'DELETE' ? 'delete' : 'push'
}
