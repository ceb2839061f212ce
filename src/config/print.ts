/** Writes a `Config` as a file that loads as the same `Config`, secrets aside. */
import { formatAddress } from './addresses.ts'
import type { Config, CredentialConfig, TagRule, UpstreamConfig } from './config.ts'
import { formatDuration } from './durations.ts'
import type { ConfigInput } from './schema.ts'
import { formatSize, formatSpace } from './sizes.ts'
import type { CredentialInput, TagRuleInput, UpstreamInput } from './upstream-schema.ts'
import { redactUrl } from './urls.ts'

/** What stands in place of a secret. */
export const REDACTED = '***'

/** Every key that has a value; passwords redacted. */
export function renderConfig(config: Config): ConfigInput {
  const { server, auth, admin, log, storage, memory } = config
  return compact({
    version: 1,
    server: compact({
      listen: formatAddress(server.listen),
      adminListen: formatAddress(server.adminListen),
      tls: server.tls && compact({ ...server.tls }),
      drainTimeout: formatDuration(server.drainTimeoutMs),
      workers: server.workers,
    }),
    auth:
      auth &&
      compact({
        htpasswdFile: auth.htpasswdFile,
        clientCertificates: auth.clientCertificates,
        rules: auth.rules.length === 0 ? undefined : auth.rules.map(renderRule),
      }),
    admin: admin.tokenFile === undefined ? undefined : { tokenFile: admin.tokenFile },
    log: { ...log },
    storage: {
      path: storage.path,
      maxSize: formatSpace(storage.maxSize),
      minFree: formatSpace(storage.minFree),
      unusedFor: formatDuration(storage.unusedForMs ?? Number.POSITIVE_INFINITY),
      scrub: {
        every: formatDuration(storage.scrub.everyMs ?? Number.POSITIVE_INFINITY),
        rate: formatSize(storage.scrub.bytesPerSecond),
      },
    },
    memory: { chunkCache: formatSize(memory.chunkCacheBytes) },
    upstreams: config.upstreams.map(renderUpstream),
    offline: config.offline,
    preload: config.preload.map((job) =>
      compact({
        ...job,
        sources: [...job.sources],
        platforms: job.platforms.length === 0 ? undefined : [...job.platforms],
      }),
    ),
  })
}

function renderRule(rule: {
  readonly users: readonly string[]
  readonly repositories: readonly string[]
}) {
  return { users: [...rule.users], repositories: [...rule.repositories] }
}

function renderUpstream(upstream: UpstreamConfig): UpstreamInput {
  const { limits, platforms, proxy } = upstream
  return compact({
    name: upstream.name,
    match: [...upstream.match],
    url: upstream.url,
    mirrors: [...upstream.mirrors],
    default: upstream.default,
    access: upstream.access,
    credentials: upstream.credentials.map(renderCredential),
    tags: upstream.tags.map(renderTagRule),
    staleIfError: formatDuration(upstream.staleIfErrorMs),
    staleGrant: formatDuration(upstream.staleGrantMs),
    repositories: {
      allow: [...upstream.repositories.allow],
      deny: [...upstream.repositories.deny],
    },
    writes: upstream.writes,
    allowPlainChallenge: upstream.allowPlainChallenge,
    platforms: platforms === 'all' ? platforms : [...platforms],
    trustedRealms: [...upstream.trustedRealms],
    caFile: upstream.caFile,
    clientCertFile: upstream.clientCertFile,
    clientKeyFile: upstream.clientKeyFile,
    proxy: proxy === undefined ? undefined : redactUrl(proxy),
    plainHttp: upstream.plainHttp,
    limits: {
      connections: limits.connections,
      bandwidth: limits.bandwidth === 0 ? 0 : formatSize(limits.bandwidth),
      connectTimeout: formatDuration(limits.connectTimeoutMs),
      headersTimeout: formatDuration(limits.headersTimeoutMs),
      idleTimeout: formatDuration(limits.idleTimeoutMs),
    },
  })
}

function renderCredential(credential: CredentialConfig): CredentialInput {
  switch (credential.kind) {
    case 'dockerConfig':
      return { dockerConfigFile: credential.file }
    case 'kubelet':
      return {
        kubeletCredentialProvider: { config: credential.configFile, binDir: credential.binDir },
      }
    case 'password':
      return compact({
        path: credential.path === '' ? undefined : credential.path,
        username: credential.username,
        password: credential.password === undefined ? undefined : REDACTED,
        passwordFile: credential.passwordFile,
      })
  }
}

function renderTagRule(rule: TagRule): TagRuleInput {
  const { match, repository, pullPolicy, maxAgeMs, refresh } = rule
  return compact({
    match,
    repository: repository === '**' ? undefined : repository,
    pullPolicy,
    maxAge: pullPolicy === 'IfNotPresent' ? formatDuration(maxAgeMs) : undefined,
    refresh: pullPolicy === 'IfNotPresent' ? refresh : undefined,
  })
}

/** Without the keys that have no value. */
function compact<T extends object>(map: T): T {
  const entries = Object.entries(map).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as T
}
