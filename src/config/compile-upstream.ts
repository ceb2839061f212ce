/** One upstream of a `Config`. */
import { isDeepStrictEqual } from 'node:util'

import { parseMatch } from './addresses.ts'
import type { ResolveFile } from './compile.ts'
import type {
  CredentialConfig,
  PullPolicy,
  Refresh,
  TagRule,
  UpstreamConfig,
  UpstreamLimits,
} from './config.ts'
import { BUILT_IN_TAGS, DEFAULT_VALUES } from './defaults.ts'
import { bytesOf, durationMsOf } from './units.ts'
import type { CredentialInput, TagRuleInput, UpstreamInput } from './upstream-schema.ts'
import { normalizeUrl } from './urls.ts'

/** @param upstream with `defaults` merged into it */
export function compileUpstream(upstream: UpstreamInput, resolveFile: ResolveFile): UpstreamConfig {
  const { caFile, clientCertFile, clientKeyFile } = upstream
  const refresh = upstream.refresh ?? DEFAULT_VALUES.refresh
  return {
    name: upstream.name,
    match: (upstream.match ?? [upstream.name]).map((text) => parseMatch(text) ?? text),
    url: normalizeUrl(upstream.url),
    mirrors: (upstream.mirrors ?? []).map(normalizeUrl),
    default: upstream.default ?? false,
    access: upstream.access ?? 'public',
    credentials: (upstream.credentials ?? []).map((credential, index) =>
      compileCredential(credential, (path, file) =>
        resolveFile(['credentials', index, ...path], file),
      ),
    ),
    tags: withBuiltInTags(
      (upstream.tags ?? []).map((rule) => compileTagRule(rule, refresh)),
      refresh,
    ),
    staleIfErrorMs: durationMsOf(upstream.staleIfError ?? DEFAULT_VALUES.staleIfError),
    staleGrantMs: durationMsOf(upstream.staleGrant ?? DEFAULT_VALUES.staleGrant),
    repositories: {
      allow: upstream.repositories?.allow ?? ['**'],
      deny: upstream.repositories?.deny ?? [],
    },
    writes: upstream.writes ?? 'deny',
    allowPlainChallenge: upstream.allowPlainChallenge ?? false,
    platforms: upstream.platforms ?? 'all',
    trustedRealms: (upstream.trustedRealms ?? []).map((text) => new URL(text).origin),
    caFile: caFile ? resolveFile(['caFile'], caFile) : undefined,
    clientCertFile: clientCertFile ? resolveFile(['clientCertFile'], clientCertFile) : undefined,
    clientKeyFile: clientKeyFile ? resolveFile(['clientKeyFile'], clientKeyFile) : undefined,
    proxy: upstream.proxy ?? undefined,
    plainHttp: upstream.plainHttp ?? false,
    limits: compileLimits(upstream.limits),
  }
}

function compileLimits(limits: UpstreamInput['limits']): UpstreamLimits {
  const { connections, bandwidth, connectTimeout, headersTimeout, idleTimeout } = limits ?? {}
  return {
    connections: connections ?? DEFAULT_VALUES.connections,
    bandwidth: typeof bandwidth === 'string' ? bytesOf(bandwidth) : 0,
    connectTimeoutMs: durationMsOf(connectTimeout ?? DEFAULT_VALUES.connectTimeout),
    headersTimeoutMs: durationMsOf(headersTimeout ?? DEFAULT_VALUES.headersTimeout),
    idleTimeoutMs: durationMsOf(idleTimeout ?? DEFAULT_VALUES.idleTimeout),
  }
}

function compileCredential(
  credential: CredentialInput,
  resolveFile: ResolveFile,
): CredentialConfig {
  const { dockerConfigFile, kubeletCredentialProvider: kubelet, passwordFile } = credential
  if (dockerConfigFile) {
    return { kind: 'dockerConfig', file: resolveFile(['dockerConfigFile'], dockerConfigFile) }
  }
  if (kubelet) {
    const at = (key: string, file: string) => resolveFile(['kubeletCredentialProvider', key], file)
    return {
      kind: 'kubelet',
      configFile: at('config', kubelet.config),
      binDir: at('binDir', kubelet.binDir),
    }
  }
  return {
    kind: 'password',
    path: credential.path ?? '',
    username: credential.username ?? '',
    password: credential.password ?? undefined,
    passwordFile: passwordFile ? resolveFile(['passwordFile'], passwordFile) : undefined,
  }
}

/** Without `pullPolicy`: what Kubernetes infers from the tag. */
function compileTagRule(rule: TagRuleInput, upstreamRefresh: Refresh): TagRule {
  const { match, repository, pullPolicy, maxAge } = rule
  const policy = pullPolicy ?? (match === 'latest' ? 'Always' : 'IfNotPresent')
  const maxAgeMs = {
    Always: 0,
    IfNotPresent: durationMsOf(maxAge ?? DEFAULT_VALUES.maxAge),
    Never: Number.POSITIVE_INFINITY,
  }[policy]
  const refresh = refreshOf(policy, rule.refresh ?? upstreamRefresh)
  return { match, repository: repository ?? '**', pullPolicy: policy, maxAgeMs, refresh }
}

/** Always asks first and Never does not ask, whatever is said. */
function refreshOf(policy: PullPolicy, said: Refresh): Refresh {
  return policy === 'IfNotPresent' ? said : 'blocking'
}

/** A printed configuration has them already, and loads as what it was printed from. */
function withBuiltInTags(tags: readonly TagRule[], refresh: Refresh): readonly TagRule[] {
  const ending = tags.slice(-BUILT_IN_TAGS.length)
  // They match every tag, so that with another `refresh` they are the last two as well.
  const plain = ending.map((rule) => ({ ...rule, refresh: DEFAULT_VALUES.refresh }))
  if (isDeepStrictEqual(plain, BUILT_IN_TAGS)) return tags
  const added = BUILT_IN_TAGS.map((rule) => ({
    ...rule,
    refresh: refreshOf(rule.pullPolicy, refresh),
  }))
  return [...tags, ...added]
}
