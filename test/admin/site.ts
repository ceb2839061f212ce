import { join } from 'node:path'

import { createAdminApi } from '../../src/admin/api.ts'
import { Authority } from '../../src/admin/authority.ts'
import { AdminError } from '../../src/admin/errors.ts'
import { createPage } from '../../src/admin/page.ts'
import type { ImageCursor } from '../../src/admin/ports/images.ts'
import type { Pin, PinRequest } from '../../src/admin/ports/pins.ts'
import type { GcOptions, PurgeOptions, Removed, Selection } from '../../src/admin/ports/removal.ts'
import type { Target } from '../../src/admin/ports/target.ts'
import type { UpstreamReport } from '../../src/admin/ports/upstreams.ts'
import type { Verified, VerifyEvent, VerifyOptions } from '../../src/admin/ports/verification.ts'
import type { AdminPorts } from '../../src/admin/ports.ts'
import { createAdmin } from '../../src/admin/server.ts'
import { Probes } from '../../src/api/probes.ts'
import type { ReloadResult } from '../../src/config/reload.ts'
import { Listener } from '../../src/listener.ts'
import { createLogger } from '../../src/log.ts'
import { Metrics } from '../../src/metrics.ts'
import { TestClock } from '../access/clock.ts'
import { type ClientRequest, type ClientResponse, send } from '../support/http-client.ts'
import { makeTempDir } from '../support/temp-dir.ts'

export type LogLine = Readonly<Record<string, unknown>>

export const NOTHING_REMOVED: Removed = {
  tags: 0,
  manifests: 0,
  blobs: 0,
  bytes: 0,
  kept: { pinned: 0, inUse: 0, listed: 0 },
  items: [],
}

export const NOTHING_PRELOADED = {
  done: 0,
  unchanged: 0,
  failed: 0,
  fetchedBytes: 0,
  hereBytes: 0,
}

export const PIN: Pin = {
  name: 'docker.io/library/nginx:1.27',
  kind: 'tag',
  owner: 'manual',
  digest: `sha256:${'a'.repeat(64)}`,
  follows: false,
  createdAt: Date.UTC(2026, 0, 1),
  expiresAt: Date.UTC(2026, 1, 1, 12),
}

/** The other rooms, as the test wants them to answer; what they were asked is kept. */
export class FakePorts implements AdminPorts {
  readonly calls: unknown[][] = []
  reloaded: ReloadResult = { ok: true, warnings: [] }
  removed: Removed = NOTHING_REMOVED
  files = { count: 0, bytes: 0 }
  /** Names of which nothing is here, or that are not pinned. */
  absent: readonly string[] = []
  pinned: readonly Pin[] = [PIN]
  nextImage: ImageCursor | undefined
  verifying: (options: VerifyOptions, onEvent: (event: VerifyEvent) => void) => Promise<Verified> =
    async () => VERIFIED

  readonly names = {
    find: (registry: string) => (UPSTREAMS.includes(registry) ? registry : undefined),
    all: () => UPSTREAMS,
  }
  readonly reloading = {
    reload: async () => {
      this.calls.push(['reload'])
      return this.reloaded
    },
  }
  readonly pins = {
    pin: async (request: PinRequest) => {
      this.calls.push(['pin', request])
      return this.absent.includes(textOf(request.target)) ? undefined : PIN
    },
    unpin: async (target: Target) => {
      this.calls.push(['unpin', target])
      return this.absent.includes(textOf(target)) ? 0 : 1
    },
    list: async () => this.pinned,
  }
  readonly removal = {
    purge: async (selection: Selection, options: PurgeOptions) => {
      this.calls.push(['purge', selection, options])
      return this.removed
    },
    gc: async (options: GcOptions) => {
      this.calls.push(['gc', options])
      return { ...this.removed, files: this.files }
    },
  }
  readonly verification = {
    verify: (options: VerifyOptions, onEvent: (event: VerifyEvent) => void) => {
      this.calls.push(['verify', { repair: options.repair }])
      return this.verifying(options, onEvent)
    },
  }
  readonly storage = {
    read: async () => STORAGE,
    usage: () => Promise.reject(new Error('nothing is counted here')),
  }
  readonly upstreams = {
    list: async () => [UPSTREAM],
    test: async (name: string, image: string | undefined) => {
      this.calls.push(['test', name, image])
      return { upstream: name, ok: true, clockSkewMs: undefined, steps: [] }
    },
    block: async (name: string, reason: string | undefined) => {
      this.calls.push(['block', name, reason])
      return UPSTREAM
    },
    unblock: async (name: string) => {
      this.calls.push(['unblock', name])
      return UPSTREAM
    },
  }
  readonly preloading: AdminPorts['preloading'] = {
    run: async (request) => {
      this.calls.push(['preload', request])
      return NOTHING_PRELOADED
    },
    jobs: () => ['nightly'],
    runJob: async (name, settings) => {
      this.calls.push(['preload job', name, settings])
      return NOTHING_PRELOADED
    },
  }
  readonly runs: AdminPorts['runs'] = {
    list: () => ({ jobs: [], configured: [] }),
    configured: () => ['nightly'],
    find: () => undefined,
    begin: (request, warnings) => {
      this.calls.push(['begin', request, warnings])
      throw new AdminError('CONFLICT')
    },
    cancel: () => undefined,
    retry: () => undefined,
    follow: () => undefined,
    readText: () => ({ images: [], maybe: [], problems: [] }),
  }
  readonly importing: AdminPorts['importing'] = {
    run: async (_body, request) => {
      this.calls.push(['import', request])
      throw new Error('nothing is to be imported here')
    },
  }
  readonly exporting: AdminPorts['exporting'] = {
    preview: async (request) => {
      this.calls.push(['plan of an export', request])
      throw new Error('nothing is to be exported here')
    },
    stream: (request) => {
      this.calls.push(['export', request])
      throw new Error('nothing is to be exported here')
    },
  }
  readonly images: AdminPorts['images'] = {
    list: async (query) => {
      this.calls.push(['images', query])
      return { images: [], next: this.nextImage }
    },
    find: async (target) => {
      this.calls.push(['image', target])
      return undefined
    },
  }
  readonly activity: AdminPorts['activity'] = {
    recent: {
      list: (query) => {
        this.calls.push(['activity', query])
        return { requests: [], last: 0 }
      },
    },
    clients: { list: () => ({ since: 0, clients: [], more: 0 }) },
  }
  readonly overview: AdminPorts['overview'] = {
    read: () => Promise.reject(new Error('nothing is counted here')),
    history: () => Promise.reject(new Error('nothing is counted here')),
  }
  readonly nodeSetups: AdminPorts['nodeSetups'] = {
    runtimes: ['containerd'],
    serverAt: () => 'http://localhost:5000',
    render: () => ({ files: [], notes: [] }),
  }
  readonly configuration: AdminPorts['configuration'] = {
    read: () => ({ config: { version: 1 }, origins: { version: 'file' } }),
  }
  readonly checking: AdminPorts['checking'] = {
    run: async (request) => {
      this.calls.push(['check', request])
      return { images: 0, complete: 0, incomplete: 0, missingBytes: 0, bytes: 0 }
    },
  }
}

export const UPSTREAMS = ['docker.io', 'ghcr.io']
export const UPSTREAM: UpstreamReport = {
  name: 'docker.io',
  match: ['docker.io'],
  access: 'public',
  offline: false,
  circuit: 'closed',
  rateLimit: { limit: 100, remaining: 7, windowSeconds: 21_600 },
  restsMs: 0,
  waiting: 2,
  url: 'https://registry-1.docker.io',
  mirrors: [],
  blocked: undefined,
  up: true,
  credentials: 0,
  requests: { total: 3, failed: 1 },
  latencyMs: { p50: 12, p95: 40 },
  lastSuccessAt: undefined,
  recentErrors: [],
  credentialExpiresAt: undefined,
  traffic: {
    requests: { total: 0, byResult: {}, hitRatio: undefined },
    bytes: { served: 0, fetched: 0, preloaded: 0, saved: 0, hitRatio: undefined },
  },
}
export const VERIFIED: Verified = {
  checked: 3,
  ok: 3,
  damaged: 0,
  missing: 0,
  repaired: 0,
  unrepaired: [],
}
export const STORAGE = {
  usedBytes: 10,
  quotaBytes: 100,
  availableBytes: 1000,
  pinnedBytes: 5,
  blobs: 2,
  manifests: 1,
  tags: 1,
  parts: { count: 1, bytes: 3 },
  next: [{ name: 'docker.io/library/nginx:1.27', bytes: 10, lastUsedAt: 0 }],
}

function textOf(target: Target): string {
  if (target.kind === 'pattern') return target.pattern
  const { upstream, repository, reference } = target
  return `${upstream}/${repository} ${reference.kind === 'tag' ? reference.tag : reference.digest}`
}

export interface SiteOptions {
  readonly tokenFile?: string
  /** As configured; it listens on 127.0.0.1 all the same. */
  readonly listenHost?: string
}

/** An admin listener on loopback before rooms that are not there. */
export class Site implements AsyncDisposable {
  readonly ports = new FakePorts()
  readonly clock = new TestClock()
  readonly logs: LogLine[] = []
  readonly authority: Authority
  readonly #listener: Listener

  static async start(options: SiteOptions = {}): Promise<Site> {
    const site = new Site(options)
    await site.#listener.listen()
    return site
  }

  private constructor({ tokenFile, listenHost = '127.0.0.1' }: SiteOptions) {
    const monotonic = () => this.clock.elapsed()
    const write = (line: string) => void this.logs.push(JSON.parse(line) as LogLine)
    const logger = createLogger({ level: 'debug', format: 'json', destination: { write } })
    this.authority = new Authority({ tokenFile: () => tokenFile, listenHost, monotonic })
    const { ports, authority } = this
    const api = createAdminApi({ ports, authority, logger, monotonic })
    const metrics = new Metrics({ version: '0' }, [], monotonic)
    this.#listener = new Listener({
      address: { host: '127.0.0.1', port: 0 },
      tls: undefined,
      handler: createAdmin({ probes: new Probes([]), metrics, api, page: createPage(), monotonic }),
      onTlsError: () => {},
    })
  }

  get url(): string {
    return this.#listener.url
  }

  get(path: string, headers: ClientRequest['headers'] = {}): Promise<ClientResponse> {
    return send(this.url, `/api/v1${path}`, { headers })
  }

  /** As a program on this machine sends it; `headers` add to that or replace it. */
  change(
    path: string,
    body: unknown = {},
    headers: ClientRequest['headers'] = {},
    method = 'POST',
  ): Promise<ClientResponse> {
    return send(this.url, `/api/v1${path}`, {
      method,
      headers: { 'Content-Type': 'application/json', ...headers },
      ...(method === 'POST' ? { body: JSON.stringify(body) } : {}),
    })
  }

  /** What the log says of changes. */
  get audit(): readonly LogLine[] {
    return this.logs.filter(({ action }) => action !== undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener.close(0)
  }
}

export interface TokenFile extends AsyncDisposable {
  readonly file: string
}

export async function makeTokenFile(): Promise<TokenFile> {
  const dir = await makeTempDir()
  return { file: join(dir.path, 'token'), [Symbol.asyncDispose]: dir.remove }
}

export function jsonOf({ body }: ClientResponse) {
  return JSON.parse(body.toString())
}
