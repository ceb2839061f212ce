import type { LookupFunction } from 'node:net'

import type { UpstreamConfig } from '../config/config.ts'
import type { Logger } from '../log.ts'
import { normalizeRegistry } from '../oci/reference.ts'
import { Authenticator } from './auth.ts'
import { Bandwidth } from './bandwidth.ts'
import { Circuits } from './circuits.ts'
import type { Clock } from './clock.ts'
import { Problems } from './credentials/problems.ts'
import {
  type CredentialSources,
  createSources,
  type ProgramSettings,
} from './credentials/sources.ts'
import { CurrentObserver } from './current-observer.ts'
import { DialPolicy } from './dial-policy.ts'
import { Dispatchers } from './dispatchers.ts'
import { Exchange } from './exchange.ts'
import { Line } from './line.ts'
import type { UpstreamObserver } from './observer.ts'
import { type ProxyEnvironment, ProxyRules } from './proxy-rules.ts'
import { Quota } from './quota.ts'
import { RegistryClient } from './registry.ts'
import { Rests } from './rests.ts'
import { Retry } from './retry.ts'
import { Slabs } from './slabs.ts'
import { readTlsFiles, type TlsMaterial } from './tls-files.ts'
import { Tokens } from './tokens.ts'
import { Transport } from './transport.ts'
import { Walk, type WalkedEndpoint } from './walk.ts'

export interface RegistryDependencies {
  readonly logger: Logger
  readonly observe: UpstreamObserver
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  /** Rejects with the signal's reason when that comes first. */
  readonly sleep: (delayMs: number, signal?: AbortSignal) => Promise<void>
  readonly proxyEnvironment: ProxyEnvironment
  /** Larder's own. */
  readonly version: string
  /** For plugins and helpers that give out credentials; absent: they find nothing in PATH. */
  readonly programs?: ProgramSettings
  /** The resolver; `dns.lookup` unless a test says otherwise. */
  readonly lookup?: LookupFunction
  readonly waits?: Waits
  /** Which an operator has forbidden to ask; absent: none. */
  readonly isBlocked?: (upstream: string) => boolean
}

/** How long is waited, in milliseconds: what the classes say themselves unless a test says otherwise. */
export interface Waits {
  /** For a place in the line. */
  readonly lineMs?: number
  /** For a registry that limits requests. */
  readonly restMs?: number
  /** For the end of what still uses a client that was replaced. */
  readonly retireMs?: number
}

/**
 * Builds the client of one upstream.
 *
 * @param tls its files, unless they were read already
 * @throws {Error} when a file that it names cannot be read
 */
export function createRegistry(
  config: UpstreamConfig,
  given: RegistryDependencies,
  tls: TlsMaterial = readTlsFiles(config),
): RegistryClient {
  const { name: upstream, limits } = config
  const logger = given.logger.child({ upstream })
  const observe = new CurrentObserver(upstream, given.observe)
  const dependencies = { ...given, observe }
  const sources = createUpstreamSources(config, dependencies, (problem) => {
    dependencies.observe.error({ upstream, reason: 'credential' })
    logger.error({ problem }, 'a credential source cannot be used')
  })
  const quota = new Quota(dependencies.clock)
  const slabs = new Slabs()
  const build = (url: string, authoritative: boolean) =>
    createEndpoint({ config, dependencies, logger, sources, quota, slabs, tls, url, authoritative })
  const endpoints = [...config.mirrors.map((url) => build(url, false)), build(config.url, true)]
  const common = { ...dependencies, logger, upstream }
  const circuits = new Circuits(
    endpoints.map(({ key }) => key),
    common,
  )
  return new RegistryClient({
    name: upstream,
    endpoints,
    bandwidth: createBandwidth(limits.bandwidth, dependencies),
    retry: new Retry({ ...common, circuits, connectTimeoutMs: limits.connectTimeoutMs }),
    circuits,
    line: new Line({
      ...common,
      connections: limits.connections,
      maxWaitMs: dependencies.waits?.lineMs,
    }),
    quota,
    slabs,
    // A mirror may be open to more than the registry: what is public is not for it to say.
    isPublicOnly: sources.count === 0 && config.access !== 'caller',
    isBlocked: () => given.isBlocked?.(upstream) ?? false,
    retireMs: dependencies.waits?.retireMs,
    onRetire: () => observe.resign(),
    onClose: () => sources.close(),
  })
}

function createBandwidth(
  bytesPerSecond: number,
  { clock, sleep }: RegistryDependencies,
): Bandwidth | undefined {
  if (bytesPerSecond === 0) return undefined
  return new Bandwidth({ bytesPerSecond, elapsed: () => clock.elapsed(), sleep })
}

/** Builds what `larder upstreams test` walks through: the registry itself, without its mirrors. */
export function createWalk(config: UpstreamConfig, dependencies: RegistryDependencies): Walk {
  const problems: string[] = []
  const sources = createUpstreamSources(config, dependencies, (problem) => problems.push(problem))
  const tls = readTlsFiles(config)
  const { logger } = dependencies
  const quota = new Quota(dependencies.clock)
  const own = { url: config.url, authoritative: true }
  const slabs = new Slabs()
  const parts = { config, dependencies, logger, sources, quota, slabs, tls, ...own }
  const proxyRules = new ProxyRules(config.proxy, dependencies.proxyEnvironment)
  const endpoint = createEndpoint(parts)
  const { now } = dependencies.clock
  return new Walk({ config, endpoint, sources, problems, tls, proxyRules, now })
}

function createUpstreamSources(
  { name: upstream, credentials }: UpstreamConfig,
  { clock, observe, programs }: RegistryDependencies,
  onProblem: (problem: string) => void,
): CredentialSources {
  return createSources(credentials, {
    clock,
    problems: new Problems(onProblem),
    programs: programs ?? { environment: { path: undefined, home: undefined } },
    onExpiry: (at) => observe.credentialExpiry({ upstream, at }),
  })
}

interface EndpointParts {
  readonly config: UpstreamConfig
  readonly dependencies: RegistryDependencies
  readonly logger: Logger
  readonly sources: CredentialSources
  readonly quota: Quota
  readonly slabs: Slabs
  readonly tls: TlsMaterial
  readonly url: string
  readonly authoritative: boolean
}

function createEndpoint(parts: EndpointParts): WalkedEndpoint {
  const { config, dependencies, logger, sources, quota, tls, authoritative } = parts
  const { name: upstream, limits, trustedRealms } = config
  const base = new URL(parts.url)
  const { transport, dispatchers } = createTransport(parts, base, tls)
  const timeoutMs = limits.headersTimeoutMs + limits.idleTimeoutMs
  const common = { ...dependencies, upstream, logger, timeoutMs, transport }
  const tokens = new Tokens(common)
  const authenticator = new Authenticator({ ...common, endpoint: base, trustedRealms, tokens })
  const host = normalizeRegistry(base.host)
  const rests = new Rests({ ...common, quota, patienceMs: dependencies.waits?.restMs })
  const exchange = new Exchange({
    ...common,
    base,
    host,
    rests,
    quota,
    authenticator,
    sources: authoritative ? sources.own : sources.byHost,
  })
  const key = base.href
  const endpoint = { key, authoritative, upstream, base, exchange, dispatchers, timeoutMs }
  return { ...endpoint, host, transport, authenticator }
}

function createTransport(
  { config, dependencies, slabs }: EndpointParts,
  endpoint: URL,
  tls: TlsMaterial,
): { readonly transport: Transport; readonly dispatchers: Dispatchers } {
  const { name: upstream, limits } = config
  const { clock, observe, version, lookup, proxyEnvironment } = dependencies
  const trustedOrigins = config.trustedRealms.map((realm) => new URL(realm).origin)
  const policy = new DialPolicy({
    upstream,
    endpoint,
    trustedOrigins,
    ...(lookup === undefined ? {} : { lookup }),
  })
  const proxyRules = new ProxyRules(config.proxy, proxyEnvironment)
  const dispatchers = new Dispatchers({ upstream, policy, proxyRules, tls, limits, slabs })
  const userAgent = `larder/${version}`
  const transport = new Transport({
    upstream,
    policy,
    dispatchers,
    limits,
    userAgent,
    clock,
    observe,
  })
  return { transport, dispatchers }
}
