import type { Answer, RecordedRequest } from './scripted-server.ts'

export type Action = 'pull' | 'push' | 'delete'

export interface AuthOptions {
  readonly kind: 'none' | 'basic' | 'token'
  /** Passwords by user name. */
  readonly users?: Readonly<Record<string, string>>
  /** Repositories that everyone may pull; with `token` an anonymous token is needed for that. */
  readonly public?: RegExp
  /** Who may do what; default: every user everything. */
  readonly mayUse?: (user: string, repository: string, action: Action) => boolean
  /** Seconds, as the token endpoint says them; `undefined`: it does not say. */
  readonly expiresIn?: number | undefined
  /** The names under which the endpoint gives the token; default both. */
  readonly tokenFields?: readonly ('token' | 'access_token')[]
  /** Whether the endpoint takes POST (OAuth2); default: no, 405. */
  readonly oauth2?: boolean
  /** Refresh tokens by user name, for OAuth2 and identity tokens. */
  readonly refreshTokens?: Readonly<Record<string, string>>
  /** Whether the token endpoint listens on a port of its own. */
  readonly ownTokenPort?: boolean
  /** Epoch milliseconds. */
  readonly now?: () => number
}

interface Grant {
  readonly user: string | undefined
  readonly scopes: ReadonlySet<string>
  readonly expiresAt: number
}

/** The specification's minimum for a token that does not say how long it lives. */
const DEFAULT_EXPIRES_IN = 60

/** Who is asking, and may they? Tokens are opaque: nobody but their issuer may look into one. */
export class RegistryAuth {
  readonly options: AuthOptions
  /** Where the token endpoint is; known only once its server listens. */
  realm = ''
  readonly #grants = new Map<string, Grant>()
  #issued = 0

  constructor(options: AuthOptions) {
    this.options = options
  }

  /** Tokens given out so far. */
  get issued(): number {
    return this.#issued
  }

  /** From now on every token given out so far is refused. */
  revokeTokens(): void {
    this.#grants.clear()
  }

  /** `undefined` when the request may go on; `repository` is absent for `/v2/`. */
  check(request: RecordedRequest, repository: string | undefined, action: Action) {
    if (this.options.kind === 'none') return undefined
    if (this.options.kind === 'basic') return this.#checkBasic(request, repository, action)
    return this.#checkToken(request, repository, action)
  }

  /** Answers a request to the token endpoint. */
  issue(request: RecordedRequest): Answer {
    if (request.method === 'POST') {
      if (this.options.oauth2 !== true) return { status: 405, headers: { allow: 'GET' } }
      return this.#issueOauth2(new URLSearchParams(request.body.toString()))
    }
    const { authorization } = request.headers
    const user = authorization === undefined ? undefined : this.#userOf(authorization)
    if (authorization !== undefined && user === undefined) return refuse('wrong credential')
    return this.#grant(user, request.query.getAll('scope'))
  }

  #issueOauth2(form: URLSearchParams): Answer {
    const scopes = (form.get('scope') ?? '').split(' ').filter((scope) => scope !== '')
    const user =
      form.get('grant_type') === 'refresh_token'
        ? this.#userOfRefreshToken(form.get('refresh_token') ?? '')
        : this.#userOfPassword(form.get('username') ?? '', form.get('password') ?? '')
    return user === undefined ? refuse('wrong credential') : this.#grant(user, scopes)
  }

  #grant(user: string | undefined, asked: readonly string[]): Answer {
    const { expiresIn, tokenFields = ['token', 'access_token'], now = Date.now } = this.options
    const scopes = new Set<string>()
    for (const scope of asked) {
      // repository:<name>:<action>,…; a name may hold a port, so the ends decide
      const [, name = '', actions = ''] = /^repository:(.+):([a-z,*]+)$/.exec(scope) ?? []
      for (const action of actions.split(',') as Action[]) {
        if (this.#mayUse(user, name, action)) scopes.add(`${name}:${action}`)
      }
    }
    const token = `opaque-${++this.#issued}`
    const expiresAt = now() + (expiresIn ?? DEFAULT_EXPIRES_IN) * 1000
    this.#grants.set(token, { user, scopes, expiresAt })
    const fields = tokenFields.map((field) => [field, token])
    const life = expiresIn === undefined ? {} : { expires_in: expiresIn }
    const body = { ...Object.fromEntries(fields), ...life }
    return { status: 200, headers: { 'content-type': 'application/json' }, body }
  }

  #checkBasic(request: RecordedRequest, repository: string | undefined, action: Action) {
    const { authorization } = request.headers
    const user = authorization === undefined ? undefined : this.#userOf(authorization)
    if (repository !== undefined && this.#isPublic(repository, action)) return undefined
    if (user === undefined) return refuse('authentication required', 'Basic realm="registry"')
    if (repository === undefined || this.#mayUse(user, repository, action)) return undefined
    return deny()
  }

  #checkToken(request: RecordedRequest, repository: string | undefined, action: Action) {
    const { now = Date.now } = this.options
    const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
    const grant = token === undefined ? undefined : this.#grants.get(token)
    const isLive = grant !== undefined && grant.expiresAt > now()
    if (isLive && (repository === undefined || grant.scopes.has(`${repository}:${action}`))) {
      return undefined
    }
    const actions = action === 'push' ? 'pull,push' : action
    const scope = repository === undefined ? '' : `,scope="repository:${repository}:${actions}"`
    const reason = isLive ? 'insufficient_scope' : 'invalid_token'
    const error = token === undefined ? '' : `,error="${reason}"`
    const challenge = `Bearer realm="${this.realm}",service="fault-registry"${scope}${error}`
    return refuse('authentication required', challenge)
  }

  #mayUse(user: string | undefined, repository: string, action: Action): boolean {
    if (this.#isPublic(repository, action)) return true
    return user !== undefined && (this.options.mayUse?.(user, repository, action) ?? true)
  }

  #isPublic(repository: string, action: Action): boolean {
    return action === 'pull' && this.options.public?.test(repository) === true
  }

  #userOf(authorization: string): string | undefined {
    const encoded = /^Basic (.+)$/i.exec(authorization)?.[1] ?? ''
    const text = Buffer.from(encoded, 'base64').toString()
    const colon = text.indexOf(':')
    return this.#userOfPassword(text.slice(0, colon), text.slice(colon + 1))
  }

  #userOfPassword(name: string, password: string): string | undefined {
    if (name === '<token>') return this.#userOfRefreshToken(password)
    const users = new Map(Object.entries(this.options.users ?? {}))
    return users.has(name) && users.get(name) === password ? name : undefined
  }

  #userOfRefreshToken(token: string): string | undefined {
    const entries = Object.entries(this.options.refreshTokens ?? {})
    return entries.find(([, candidate]) => candidate === token)?.[0]
  }
}

function refuse(message: string, challenge?: string): Answer {
  const headers = challenge === undefined ? {} : { 'www-authenticate': challenge }
  return { ...failure(401, 'UNAUTHORIZED', message), headers: { ...JSON_TYPE, ...headers } }
}

function deny(): Answer {
  return failure(403, 'DENIED', 'requested access to the resource is denied')
}

const JSON_TYPE = { 'content-type': 'application/json' }

/** The specification's error body. */
export function failure(status: number, code: string, message = code.toLowerCase()): Answer {
  return { status, headers: JSON_TYPE, body: { errors: [{ code, message }] } }
}
