import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { type App, startApp } from '../../src/app.ts'
import type {
  Config,
  FrontDoorConfig,
  PreloadJob,
  TagRule,
  TlsFiles,
  UpstreamConfig,
  UpstreamLimits,
} from '../../src/config/config.ts'
import type { LoadedConfig } from '../../src/config/load.ts'
import type { ReloadResult } from '../../src/config/reload.ts'
import { createLogger } from '../../src/log.ts'
import type { FailAt } from '../../src/store/failpoints.ts'
import type { Clock } from '../../src/upstream/clock.ts'
import { type ClientRequest, type ClientResponse, send } from './http-client.ts'
import { copyAsKilled } from './kill.ts'
import { compileCache, WORKERS } from './larder.ts'
import { type Sample, samplesOf, sumOf } from './samples.ts'
import { makeTempDir } from './temp-dir.ts'

export interface TestUpstream extends Partial<Omit<UpstreamConfig, 'limits'>> {
  readonly name: string
  readonly url: string
  readonly limits?: Partial<UpstreamLimits>
}

export interface TestAppOptions {
  readonly upstreams: readonly TestUpstream[]
  readonly offline?: boolean
  readonly auth?: FrontDoorConfig
  readonly chunkCacheBytes?: number
  readonly tls?: TlsFiles
  readonly tlsLookMs?: number
  /** Default: what the tests are run with, else 1. */
  readonly workers?: number
  /** How long a client waits for the file of a download, in milliseconds; default: as Larder does. */
  readonly filePatienceMs?: number
  /** What workers find in their environment. */
  readonly workerEnvironment?: Readonly<Record<string, string>>
  readonly clock?: Clock
  /** Default 0: tests of registries that stay away need not wait for them. */
  readonly patienceMs?: number
  /** What Larder may store; default 1 GiB. */
  readonly maxBytes?: number
  readonly preload?: readonly PreloadJob[]
  /** Told of each step of the store. */
  readonly failAt?: FailAt
}

export type LogLine = Readonly<Record<string, unknown>>

/** Larder in this process, as `serve` would run it, on free ports and a data directory of its own. */
export interface TestApp extends AsyncDisposable {
  /** Origin of the registry API; another after a restart. */
  readonly url: string
  readonly adminUrl: string
  readonly port: number
  readonly dataDir: string
  /** Whatever was logged since the first start, as it was written. */
  readonly log: readonly string[]
  readonly logs: readonly LogLine[]
  get(path: string, options?: ClientRequest): Promise<ClientResponse>
  head(path: string, options?: ClientRequest): Promise<ClientResponse>
  /** Settles once so many requests have their line in the log. */
  logged(requests: number): Promise<void>
  /** The first line of the log that `isIt`, once it is there; throws when it does not come for long. */
  said(isIt: (line: LogLine) => boolean): Promise<LogLine>
  /** Sum of the samples that carry `labels`, once no request is being answered. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
  samples(): Promise<readonly Sample[]>
  /** Settles once `metric` has reached `atLeast`; throws when it does not for long. */
  until(name: string, atLeast: number, labels?: Readonly<Record<string, string>>): Promise<void>
  /** Takes over another configuration while it runs. */
  reload(changes: Partial<TestAppOptions>): Promise<ReloadResult>
  /**
   * Stops, and starts again on the same data, perhaps with other options.
   *
   * @param whileStopped what is done to the data directory in between
   */
  restart(changes?: Partial<TestAppOptions>, whileStopped?: () => Promise<void>): Promise<void>
  /** Starts on what kill -9 would leave at this moment: whatever is not on disk yet is lost. */
  kill(): Promise<void>
  close(): Promise<void>
}

const LIMITS: UpstreamLimits = {
  connections: 16,
  bandwidth: 0,
  connectTimeoutMs: 10_000,
  headersTimeoutMs: 10_000,
  idleTimeoutMs: 10_000,
}
/** So short that what failed is not tried again after a pause: tests of failures need not wait. */
export const IMPATIENT = { connectTimeoutMs: 190 } as const satisfies Partial<UpstreamLimits>

/** Long enough for a slow machine; a test that waits for what never comes fails, and ends. */
const WAIT_MS = 10_000

const FRESH_FOR_AN_HOUR: TagRule = {
  match: '*',
  repository: '**',
  pullPolicy: 'IfNotPresent',
  maxAgeMs: 3_600_000,
  refresh: 'blocking',
}
/** Tags that are never fresh, and may be served stale. */
export const EXPIRED: readonly TagRule[] = [{ ...FRESH_FOR_AN_HOUR, maxAgeMs: -1 }]
export const ALWAYS: readonly TagRule[] = [{ ...FRESH_FOR_AN_HOUR, pullPolicy: 'Always' }]

export async function startTestApp(options: TestAppOptions): Promise<TestApp> {
  const dir = await makeTempDir('larder-app-')
  const dataDir = join(dir.path, 'data')
  const log: string[] = []
  const logs: LogLine[] = []
  const waiting: { readonly isOver: () => boolean; readonly resolve: () => void }[] = []
  const waitFor = async (isOver: () => boolean, what: string) => {
    if (isOver()) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    waiting.push({ isOver, resolve })
    const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), WAIT_MS)
    await promise.finally(() => clearTimeout(timer))
  }
  const requests = () => logs.filter(({ msg }) => msg === 'request').length
  const destination = {
    write(line: string) {
      log.push(line)
      logs.push(JSON.parse(line) as LogLine)
      for (const { isOver, resolve } of waiting) if (isOver()) resolve()
    },
  }
  const logger = createLogger({ level: 'debug', format: 'json', destination })
  const proxyEnvironment = { httpsProxy: undefined, httpProxy: undefined, noProxy: undefined }
  const start = (wanted: TestAppOptions): Promise<App> => {
    const config = configOf(wanted, dataDir)
    const { clock, patienceMs = 0, tlsLookMs, failAt } = wanted
    // Test images are small; what is left to workers is to be tested.
    const environment = { ...compileCache(), ...wanted.workerEnvironment }
    const { filePatienceMs: wait } = wanted
    const waiting = wait === undefined ? {} : { patienceMs: wait }
    const workers = { environment, leastParcelBytes: 1, ...waiting }
    const times = {
      workers,
      patienceMs,
      ...(clock === undefined ? {} : { clock }),
      ...(tlsLookMs === undefined ? {} : { tlsLookMs }),
      ...(failAt === undefined ? {} : { failAt }),
    }
    const load = async (): Promise<LoadedConfig> => ({
      config: configOf(current, dataDir),
      file: undefined,
      stamp: undefined,
      origins: new Map(),
      warnings: [],
      locate: (path, message) => ({ path: path.join('.'), message }),
    })
    const source = { load, file: undefined, stamp: undefined }
    return startApp({ config, source, logger, version: '0.0.0-test', proxyEnvironment, ...times })
  }
  let current = options
  let app = await start(current).catch(async (error: unknown) => {
    await dir.remove()
    throw error
  })
  const samples = async () => {
    const { body } = await send(app.adminUrl, '/metrics')
    return samplesOf(body.toString())
  }
  const scrape = async (isDone: (all: readonly Sample[]) => boolean, what: string) => {
    const endsAt = performance.now() + WAIT_MS
    for (;;) {
      const all = await samples()
      if (isDone(all)) return all
      if (performance.now() > endsAt) throw new Error(`waited in vain for ${what}`)
    }
  }
  const close = async () => {
    await app.close()
    await dir.remove()
  }
  return {
    get url() {
      return app.registryUrl
    },
    get adminUrl() {
      return app.adminUrl
    },
    get port() {
      return Number(new URL(app.registryUrl).port)
    },
    dataDir,
    log,
    logs,
    get: (path, request) => send(app.registryUrl, path, request),
    head: (path, request) => send(app.registryUrl, path, { ...request, method: 'HEAD' }),
    logged: (count) => waitFor(() => requests() >= count, `${count} requests in the log`),
    async said(isIt) {
      await waitFor(() => logs.some(isIt), 'a line of the log')
      return logs.find(isIt) as LogLine
    },
    async metric(name, labels) {
      // An answer is counted when it has ended, which its client may see a moment earlier.
      // Who watches by the admin API may do so for ever.
      const ofNodes = (all: readonly Sample[]) =>
        all.filter(({ labels }) => labels['handler'] !== 'admin')
      const isIdle = (all: readonly Sample[]) =>
        sumOf(ofNodes(all), 'larder_http_requests_in_flight') === 0
      return sumOf(await scrape(isIdle, 'all requests to end'), name, labels)
    },
    samples,
    async until(name, atLeast, labels) {
      const isReached = (all: readonly Sample[]) => sumOf(all, name, labels) >= atLeast
      await scrape(isReached, `${name} to reach ${atLeast}`)
    },
    async reload(changes) {
      const before = current
      current = { ...current, ...changes }
      const result = await app.reload()
      if (!result.ok) current = before
      return result
    },
    async restart(changes, whileStopped) {
      current = { ...current, ...changes }
      await app.close()
      await whileStopped?.()
      app = await start(current)
    },
    async kill() {
      const left = join(dir.path, 'left')
      copyAsKilled(dataDir, left)
      // What it still does is done to a directory that nobody looks at again.
      await app.close()
      await rm(dataDir, { recursive: true })
      await rename(left, dataDir)
      app = await start(current)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

function configOf(options: TestAppOptions, dataDir: string): Config {
  const anyPort = { host: '127.0.0.1', port: 0 }
  return {
    server: {
      listen: anyPort,
      adminListen: anyPort,
      tls: options.tls,
      drainTimeoutMs: 50,
      workers: options.workers ?? WORKERS,
    },
    auth: options.auth,
    admin: { tokenFile: undefined },
    log: { level: 'debug', format: 'json' },
    storage: {
      path: dataDir,
      maxSize: { bytes: options.maxBytes ?? 2 ** 30 },
      minFree: { percent: 0 },
      unusedForMs: undefined,
      scrub: { everyMs: undefined, bytesPerSecond: 2 ** 25 },
    },
    memory: { chunkCacheBytes: options.chunkCacheBytes ?? 2 ** 26 },
    upstreams: options.upstreams.map(upstreamOf),
    offline: options.offline ?? false,
    preload: options.preload ?? [],
  }
}

function upstreamOf({ limits, ...given }: TestUpstream): UpstreamConfig {
  return {
    match: [given.name],
    mirrors: [],
    default: false,
    access: 'public',
    credentials: [],
    tags: [FRESH_FOR_AN_HOUR],
    staleIfErrorMs: 7 * 24 * 3_600_000,
    staleGrantMs: 0,
    repositories: { allow: ['**'], deny: [] },
    writes: 'deny',
    allowPlainChallenge: false,
    platforms: 'all',
    trustedRealms: [],
    caFile: undefined,
    clientCertFile: undefined,
    clientKeyFile: undefined,
    proxy: undefined,
    plainHttp: true,
    ...given,
    limits: { ...LIMITS, ...limits },
  }
}
