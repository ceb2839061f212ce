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
  /** Default 300. */
  readonly expiresInSeconds?: number
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
  close(): Promise<void>
}

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
  const sign = (user: string | undefined, access: readonly Access[], expiresIn: number) =>
    new SignJWT({ access })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', x5c })
      .setIssuer(ISSUER)
      .setAudience(SERVICE)
      .setSubject(user ?? '')
      .setJti(randomUUID())
      .setIssuedAt()
      .setNotBefore('-5s')
      .setExpirationTime(`${expiresIn}s`)
      .sign(privateKey)
  const server = await new ScriptedServer(createHandler(options, sign)).start()
  const realm = `${server.origin}/token`
  return { realm, certFile, issuer: ISSUER, service: SERVICE, server, close: () => server.close() }
}

interface Access {
  readonly type: string
  readonly name: string
  readonly actions: readonly string[]
}

type Sign = (
  user: string | undefined,
  access: readonly Access[],
  expiresIn: number,
) => Promise<string>

function createHandler(options: TokenServerOptions, sign: Sign) {
  const { users, expiresInSeconds = 300, mayUse = (user) => user !== undefined } = options
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
    const token = await sign(user, access, expiresInSeconds)
    const body = { token, expires_in: expiresInSeconds, issued_at: new Date().toISOString() }
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
