import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hash } from 'bcryptjs'
import { stringify } from 'yaml'

import type { Digest } from '../../src/oci/digest.ts'
import { send } from '../support/http-client.ts'
import type { Content } from '../support/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import type { LinkedNetwork } from './network.ts'
import { writeOciLayout, writeSkopeoDir } from './oci-layout.ts'
import { Daemon, freePort } from './programs.ts'
import { skopeoPush } from './skopeo.ts'
import { startTokenServer, type TokenServer, type TokenServerOptions } from './token-server.ts'

export type AuthKind = 'open' | 'htpasswd' | 'token'

export const USER = 'larder'
/** Searched for in logs: it must be nowhere. */
export const PASSWORD = 'canary-8d1f-password'

/** A request as the access log tells it. */
export interface LoggedRequest {
  readonly method: string
  readonly path: string
  readonly status: number
}

/** Debian's docker-registry in front of a temporary folder. */
export interface RealRegistry extends AsyncDisposable {
  readonly auth: AuthKind
  readonly host: string
  readonly url: string
  readonly tokens: TokenServer | undefined
  /** Pushes with skopeo, every platform and byte for byte. */
  push(repository: string, tag: string, content: Content): Promise<void>
  /** What was asked since the start or the last `forget`, and answered. */
  requests(): Promise<readonly LoggedRequest[]>
  forget(): Promise<void>
  /** Holds it still until {@link resume}: it takes connections, and answers nothing. */
  pause(): void
  resume(): void
  /** SIGKILL, and a new start on the same port with what it has stored. */
  crash(): Promise<void>
  stop(): Promise<void>
}

export interface RealRegistryOptions {
  /** Who else may do what, for `token`; {@link USER} may do everything. */
  readonly mayUse?: NonNullable<TokenServerOptions['mayUse']>
  readonly users?: TokenServerOptions['users']
  /** Of a token; see {@link TokenServerOptions}. */
  readonly lifeSeconds?: number
  /** Where it runs; default: here, on loopback. */
  readonly network?: LinkedNetwork
}

const LOG_LINE = /"([A-Z]+) (\S+) HTTP\/[\d.]+" (\d{3}) /

export async function startRealRegistry(
  auth: AuthKind = 'open',
  options: RealRegistryOptions = {},
): Promise<RealRegistry> {
  const dir = await makeTempDir('larder-e2e-registry-')
  const { users = { [USER]: PASSWORD }, network, ...rest } = options
  const tokens =
    auth === 'token' ? await startTokenServer({ dir: dir.path, users, ...rest }) : undefined
  const host = `${network?.address ?? '127.0.0.1'}:${await freePort()}`
  const file = join(dir.path, 'registry.yml')
  await writeFile(file, stringify(await configOf(dir.path, host, auth, tokens)))
  const url = `http://${host}`
  const start = async () => {
    const place = network ?? { start: Daemon.start }
    const started = await place.start('docker-registry', ['serve', file])
    await started.ready(() => send(url, '/v2/'))
    return started
  }
  let daemon = await start()
  /** What those wrote that were killed. */
  let earlier: readonly string[] = []
  const lines = () => [...earlier, ...daemon.lines]
  let first = 0
  const settle = () => marked(daemon, url)
  await settle()
  return {
    auth,
    host,
    url,
    tokens,
    push: (repository, tag, content) =>
      push(dir.path, `${host}/${repository}:${tag}`, tag, content),
    requests: async () => {
      await settle()
      return lines().slice(first).flatMap(parseLine)
    },
    forget: async () => {
      await settle()
      first = lines().length
    },
    pause: () => daemon.pause(),
    resume: () => daemon.resume(),
    crash: async () => {
      await daemon.kill()
      earlier = lines()
      daemon = await start()
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }

  async function stop(): Promise<void> {
    await daemon.stop()
    await tokens?.close()
    await dir.remove()
  }
}

/** What a pull must cost the upstream once, and a warm one never. */
export function countGets(
  requests: readonly LoggedRequest[],
  kind: 'blobs' | 'manifests',
  digest: Digest | '' = '',
): number {
  return requests.filter(
    ({ method, path, status }) =>
      method === 'GET' && path.includes(`/${kind}/${digest}`) && status < 300,
  ).length
}

async function configOf(
  dir: string,
  addr: string,
  auth: AuthKind,
  tokens: TokenServer | undefined,
): Promise<Record<string, unknown>> {
  const common = {
    version: 0.1,
    log: { level: 'warn', accesslog: { disabled: false } },
    storage: {
      filesystem: { rootdirectory: join(dir, 'registry') },
      delete: { enabled: true },
    },
    http: { addr, secret: 'of-the-tests' },
  }
  if (auth === 'open') return common
  if (tokens !== undefined) {
    const { realm, service, issuer, certFile } = tokens
    return { ...common, auth: { token: { realm, service, issuer, rootcertbundle: certFile } } }
  }
  const path = join(dir, 'htpasswd')
  // Four rounds: this is no secret worth protecting.
  await writeFile(path, `${USER}:${await hash(PASSWORD, 4)}\n`)
  return { ...common, auth: { htpasswd: { realm: 'of-the-tests', path } } }
}

/** The log is written after the answer: once a request of our own is in it, those before are too. */
async function marked(daemon: Daemon, url: string): Promise<void> {
  const marker = randomUUID()
  await send(url, `/v2/?marker=${marker}`)
  await daemon.line(new RegExp(marker))
}

function parseLine(line: string): LoggedRequest[] {
  const [, method = '', path = '', status] = LOG_LINE.exec(line) ?? []
  if (status === undefined || path.includes('?marker=')) return []
  return [{ method, path, status: Number(status) }]
}

async function push(dir: string, target: string, tag: string, content: Content): Promise<void> {
  const layout = join(dir, `layout-${randomUUID()}`)
  await mkdir(layout)
  const isDocker = content.manifest.mediaType.includes('docker')
  if (isDocker) await writeSkopeoDir(layout, content)
  else await writeOciLayout(layout, { [tag]: content })
  const source = isDocker ? `dir:${layout}` : `oci:${layout}:${tag}`
  await skopeoPush(source, target, `${USER}:${PASSWORD}`)
}
