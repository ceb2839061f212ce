/** One upstream of a `Config`. */
import { isDeepStrictEqual } from 'node:util'

import { parseMatch } from './addresses.ts'
import type { ResolveFile } from './compile.ts'
import type { CredentialConfig, TagRule, UpstreamConfig, UpstreamLimits } from './config.ts'
import { BUILT_IN_TAGS, DEFAULT_VALUES } from './defaults.ts'
import { bytesOf, durationMsOf } from './units.ts'
import type { CredentialInput, TagRuleInput, UpstreamInput } from './upstream-schema.ts'
import { normalizeUrl } from './urls.ts'

/** @param upstream with `defaults` merged into it */
export function compileUpstream(upstream: UpstreamInput, resolveFile: ResolveFile): UpstreamConfig {
  const { caFile, clientCertFile, clientKeyFile } = upstream
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
    tags: withBuiltInTags((upstream.tags ?? []).map(compileTagRule)),
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
function compileTagRule({ match, repository, pullPolicy, maxAge }: TagRuleInput): TagRule {
  const policy = pullPolicy ?? (match === 'latest' ? 'Always' : 'IfNotPresent')
  const maxAgeMs = {
    Always: 0,
    IfNotPresent: durationMsOf(maxAge ?? DEFAULT_VALUES.maxAge),
    Never: Number.POSITIVE_INFINITY,
  }[policy]
  return { match, repository: repository ?? '**', pullPolicy: policy, maxAgeMs }
}

/** A printed configuration has them already, and loads as what it was printed from. */
function withBuiltInTags(tags: readonly TagRule[]): readonly TagRule[] {
  const ending = tags.slice(-BUILT_IN_TAGS.length)
  return isDeepStrictEqual(ending, BUILT_IN_TAGS) ? tags : [...tags, ...BUILT_IN_TAGS]
}
