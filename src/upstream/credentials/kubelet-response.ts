import type { Credential, CredentialFactory } from './credential.ts'
import { keepMs } from './expiry.ts'
import { parseGoDuration } from './go-duration.ts'
import { compareSpecificity, type ImagePattern, parseImagePattern } from './image-match.ts'
import { isMap, parseMap, textOf } from './json.ts'
import type { KubeletProviderConfig } from './kubelet-config.ts'

const SCOPES = ['Image', 'Registry', 'Global'] as const

/** What an answer is good for: the image asked for, all of its registry, or everything. */
export type CacheScope = (typeof SCOPES)[number]

/** A CredentialProviderResponse. */
export interface KubeletResponse {
  readonly scope: CacheScope
  /** How long it may be kept; 0: not at all. */
  readonly keepMs: number
  /** Most specific first. */
  readonly entries: readonly KubeletEntry[]
}

export interface KubeletEntry {
  readonly pattern: ImagePattern
  readonly credential: Credential
}

/**
 * Reads what a plugin printed: credentialprovider.kubelet.k8s.io/v1.
 *
 * @param now epoch milliseconds
 * @throws {Error} that names the plugin, and quotes nothing of what it printed
 */
export function parseKubeletResponse(
  text: string,
  { name, apiVersion, defaultCacheMs }: KubeletProviderConfig,
  { credentials, now }: { readonly credentials: CredentialFactory; readonly now: number },
): KubeletResponse {
  const document = parseMap(text, `what ${name} printed`)
  if (document['kind'] !== 'CredentialProviderResponse') {
    throw new Error(`what ${name} printed is not a CredentialProviderResponse`)
  }
  if (document['apiVersion'] !== apiVersion) {
    throw new Error(`${name} answered in another apiVersion than the configured ${apiVersion}`)
  }
  const scope = SCOPES.find((one) => one === document['cacheKeyType'])
  if (scope === undefined) {
    throw new Error(`${name} answered with a cacheKeyType that is none of ${SCOPES.join(', ')}`)
  }
  const cacheMs = readDuration(document['cacheDuration'], name) ?? defaultCacheMs
  const entries = readAuth(document['auth'], name, credentials)
  const expiries = entries.flatMap(({ credential }) => credential.expiresAt ?? [])
  const soonest = expiries.length === 0 ? undefined : Math.min(...expiries)
  return {
    scope,
    keepMs: keepMs(cacheMs, soonest, now),
    // What does not say itself how long it is good is good for as long as it may be kept.
    entries: cacheMs === 0 ? entries : entries.map((entry) => withExpiry(entry, now + cacheMs)),
  }
}

function withExpiry({ pattern, credential }: KubeletEntry, expiresAt: number): KubeletEntry {
  return { pattern, credential: { expiresAt, ...credential } }
}

function readDuration(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined
  const duration = typeof value === 'string' ? parseGoDuration(value) : undefined
  if (duration === undefined) {
    throw new Error(`${name} answered with a cacheDuration that is no duration such as 6h0m0s`)
  }
  return Math.max(0, duration)
}

function readAuth(
  auth: unknown,
  name: string,
  credentials: CredentialFactory,
): readonly KubeletEntry[] {
  if (auth === undefined || auth === null) return []
  if (!isMap(auth)) throw new Error(`${name} answered with an auth that is not a map`)
  return Object.entries(auth)
    .flatMap(([key, value]) => {
      const pattern = parseImagePattern(key)
      const username = isMap(value) ? (textOf(value['username']) ?? '') : ''
      const password = isMap(value) ? (textOf(value['password']) ?? '') : ''
      if (pattern === undefined || (username === '' && password === '')) return []
      const source = `plugin ${name} for ${pattern.key}`
      return [{ pattern, credential: credentials.create(username, password, { source }) }]
    })
    .sort((a, b) => compareSpecificity(a.pattern, b.pattern))
}
