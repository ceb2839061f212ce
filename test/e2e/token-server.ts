import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { importPKCS8, SignJWT } from 'jose'

import { type Answer, type RecordedRequest, ScriptedServer } from '../support/scripted-server.ts'
import { run } from './programs.ts'

export interface TokenServerOptions {
  /** Where the certificate is written. */
  readonly dir: string
  /** Passwords by user name. */
  readonly users: Readonly<Record<string, string>>
  /** Default: a user may do everything, who is nobody nothing. */
  readonly mayUse?: (user: string | undefined, repository: string, action: string) => boolean
  /** How long docker-registry takes a token, to the second that has begun. Default 300. */
  readonly lifeSeconds?: number
}

/** Gives out the signed tokens that docker-registry checks (distribution, "Token Authentication"). */
export interface TokenServer {
  readonly realm: string
  /** What docker-registry trusts as `rootcertbundle`. */
  readonly certFile: string
  readonly issuer: string
  readonly service: string
  /** Records who asked for what. */
  readonly server: ScriptedServer
  /** In the order in which they were asked for. */
  readonly given: readonly GivenToken[]
  close(): Promise<void>
}

export interface GivenToken {
  /** As it was asked for; several are separated by spaces. */
  readonly scope: string
  /** When it was asked for, epoch milliseconds. */
  readonly at: number
  /** When docker-registry no longer takes it, epoch milliseconds. */
  readonly endsAt: number
}

/** By so much docker-registry (2.8, registry/auth/token/token.go) prolongs the life of a token. */
const LEEWAY_SECONDS = 60
const ISSUER = 'larder-tests'
const SERVICE = 'registry-of-the-tests'

export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const certFile = join(options.dir, 'token-cert.pem')
  const keyFile = join(options.dir, 'token-key.pem')
  const subject = ['-subj', '/CN=tokens.test', '-days', '2', '-nodes']
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-keyout', keyFile]
  await run('openssl', ['req', '-x509', ...key, '-out', certFile, ...subject])
  const privateKey = await importPKCS8(await readFile(keyFile, 'utf8'), 'ES256')
  const x5c = [(await readFile(certFile, 'utf8')).replace(/-----.+-----|\s/g, '')]
  const sign: Sign = (user, access, expiresAt) =>
    new SignJWT({ access })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', x5c })
      .setIssuer(ISSUER)
      .setAudience(SERVICE)
      .setSubject(user ?? '')
      .setJti(randomUUID())
      .setIssuedAt()
      .setNotBefore('-5s')
      .setExpirationTime(expiresAt)
      .sign(privateKey)
  const given: GivenToken[] = []
  const server = await new ScriptedServer(createHandler(options, sign, given)).start()
  const realm = `${server.origin}/token`
  const close = () => server.close()
  return { realm, certFile, issuer: ISSUER, service: SERVICE, server, given, close }
}

interface Access {
  readonly type: string
  readonly name: string
  readonly actions: readonly string[]
}

type Sign = (
  user: string | undefined,
  access: readonly Access[],
  /** Epoch seconds. */
  expiresAt: number,
) => Promise<string>

function createHandler(options: TokenServerOptions, sign: Sign, given: GivenToken[]) {
  const { users, lifeSeconds = 300, mayUse = (user) => user !== undefined } = options
  return async (request: RecordedRequest): Promise<Answer> => {
    if (request.method !== 'GET') return { status: 405 }
    const user = userOf(request.headers.authorization, users)
    if (user === false) return { status: 401, headers: { 'www-authenticate': 'Basic realm="t"' } }
    const scopes = request.query.getAll('scope').flatMap((scope) => scope.split(' '))
    const access = scopes.flatMap((scope) => {
      const [, type = '', name = '', asked = ''] = /^(\w+):(.+):([a-z,*]+)$/.exec(scope) ?? []
      const actions = asked.split(',').filter((action) => mayUse(user, name, action))
      return actions.length === 0 ? [] : [{ type, name, actions }]
    })
    const at = Date.now()
    const ends = Math.ceil(at / 1000) + lifeSeconds
    given.push({ scope: scopes.join(' '), at, endsAt: ends * 1000 })
    const token = await sign(user, access, ends - LEEWAY_SECONDS)
    const issued_at = new Date(at).toISOString()
    const body = { token, expires_in: lifeSeconds, issued_at }
    return { status: 200, headers: { 'content-type': 'application/json' }, body }
  }
}

/** `undefined`: nobody; false: a wrong credential. */
function userOf(
  authorization: string | undefined,
  users: Readonly<Record<string, string>>,
): string | undefined | false {
  if (authorization === undefined) return undefined
  const encoded = /^Basic (.+)$/i.exec(authorization)?.[1] ?? ''
  const credential = Buffer.from(encoded, 'base64').toString()
  const known = Object.entries(users).find((entry) => entry.join(':') === credential)
  return known?.[0] ?? false
}
