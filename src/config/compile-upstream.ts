/** One upstream of a `Config`. */
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
    tags: compileTags(upstream),
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

function compileTags(upstream: UpstreamInput): readonly TagRule[] {
  const rules = upstream.tags ?? []
  return [...rules, ...missingRules(rules)].map((rule) => compileTagRule(rule, upstream))
}

/** What matches every tag, unless it stands there already, as in a printed configuration. */
function missingRules(rules: readonly TagRuleInput[]): readonly TagRuleInput[] {
  const ending = rules.slice(-BUILT_IN_TAGS.length)
  const isBuiltIn = BUILT_IN_TAGS.every(
    ({ match }, index) =>
      ending[index]?.match === match && (ending[index].repository ?? '**') === '**',
  )
  return isBuiltIn ? [] : BUILT_IN_TAGS
}

/** What a rule leaves open its upstream says, or, of the policy, what Kubernetes infers from the tag. */
function compileTagRule(rule: TagRuleInput, upstream: UpstreamInput): TagRule {
  const { match, repository } = rule
  const inferred = match === 'latest' ? 'Always' : 'IfNotPresent'
  const pullPolicy = rule.pullPolicy ?? upstream.pullPolicy ?? inferred
  const maxAge = rule.maxAge ?? upstream.maxAge ?? DEFAULT_VALUES.maxAge
  const maxAgeMs = {
    Always: 0,
    IfNotPresent: durationMsOf(maxAge),
    Never: Number.POSITIVE_INFINITY,
  }[pullPolicy]
  const refresh = refreshOf(pullPolicy, rule.refresh ?? upstream.refresh ?? DEFAULT_VALUES.refresh)
  return { match, repository: repository ?? '**', pullPolicy, maxAgeMs, refresh }
}

/** Always asks first and Never does not ask, whatever is said. */
function refreshOf(policy: PullPolicy, said: Refresh): Refresh {
  return policy === 'IfNotPresent' ? said : 'blocking'
}
