import { parse } from 'yaml'

import { parseGoDuration } from './go-duration.ts'
import { type ImagePattern, parseImagePattern } from './image-match.ts'
import { isMap, textOf } from './json.ts'

const CONFIG_VERSIONS = ['v1', 'v1beta1', 'v1alpha1'].map((one) => `kubelet.config.k8s.io/${one}`)
const PLUGIN_VERSIONS = ['v1', 'v1beta1'].map((one) => `credentialprovider.kubelet.k8s.io/${one}`)

/** One plugin, as the kubelet's CredentialProviderConfig describes it. */
export interface KubeletProviderConfig {
  /** A plain file name in the plugins' folder. */
  readonly name: string
  readonly matchImages: readonly ImagePattern[]
  readonly defaultCacheMs: number
  readonly apiVersion: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Whether it runs only for a pod with a service account, whose token it is given. */
  readonly needsServiceAccount: boolean
}

/**
 * Reads the CredentialProviderConfig that the kubelet is given (kubelet.config.k8s.io/v1). Keys that
 * are not known are left alone: newer kubelets know more of them.
 *
 * @throws {Error} that names the file and what is wrong in it
 */
export function parseKubeletConfig(text: string, path: string): readonly KubeletProviderConfig[] {
  const document = readYaml(text, path)
  const { kind, apiVersion, providers } = document
  if (kind !== 'CredentialProviderConfig') {
    throw new Error(`${path}: kind is not CredentialProviderConfig`)
  }
  if (!CONFIG_VERSIONS.some((version) => version === apiVersion)) {
    throw new Error(`${path}: apiVersion is none of ${CONFIG_VERSIONS.join(', ')}`)
  }
  if (!Array.isArray(providers) || providers.length === 0) {
    throw new Error(`${path}: providers is not a list with at least one provider`)
  }
  const names = new Set<string>()
  return providers.map((provider: unknown, index) => {
    const read = readProvider(provider, `${path}: providers[${index}]`)
    if (names.has(read.name)) throw new Error(`${path}: ${read.name} is there twice`)
    names.add(read.name)
    return read
  })
}

function readYaml(text: string, path: string): Record<string, unknown> {
  let document: unknown
  try {
    document = parse(text, { prettyErrors: false, maxAliasCount: 50, logLevel: 'error' })
  } catch {
    // The parser's message would quote the file.
    document = undefined
  }
  if (!isMap(document)) throw new Error(`${path} is not a YAML map`)
  return document
}

function readProvider(provider: unknown, at: string): KubeletProviderConfig {
  if (!isMap(provider)) throw new Error(`${at} is not a map`)
  const { apiVersion, matchImages, args = [], env = [] } = provider
  const name = textOf(provider['name'])
  if (name === undefined || !isFileName(name)) {
    throw new Error(`${at}.name is not a plain file name`)
  }
  const version = PLUGIN_VERSIONS.find((one) => one === apiVersion)
  if (version === undefined) {
    throw new Error(`${at}.apiVersion is none of ${PLUGIN_VERSIONS.join(', ')}`)
  }
  const duration = textOf(provider['defaultCacheDuration'])
  const defaultCacheMs = duration === undefined ? undefined : parseGoDuration(duration)
  if (defaultCacheMs === undefined || defaultCacheMs < 0) {
    throw new Error(`${at}.defaultCacheDuration is not a duration such as 12h or 0s`)
  }
  return {
    name,
    matchImages: readPatterns(matchImages, `${at}.matchImages`),
    defaultCacheMs,
    apiVersion: version,
    args: readTexts(args, `${at}.args`),
    env: readEnv(env, `${at}.env`),
    needsServiceAccount: needsServiceAccount(provider['tokenAttributes']),
  }
}

/** The kubelet's own rule: nothing that leads out of the folder, no white space. */
function isFileName(name: string): boolean {
  return !/[\s/\\\0]/.test(name) && name !== '.' && name !== '..'
}

function readPatterns(value: unknown, at: string): readonly ImagePattern[] {
  const texts = readTexts(value, at)
  if (texts.length === 0) throw new Error(`${at} is empty`)
  return texts.map((text, index) => {
    const pattern = parseImagePattern(text)
    if (pattern === undefined) throw new Error(`${at}[${index}] names no registry`)
    return pattern
  })
}

function readTexts(value: unknown, at: string): readonly string[] {
  const list = value ?? []
  if (Array.isArray(list) && list.every((one) => typeof one === 'string')) return list
  throw new Error(`${at} is not a list of texts`)
}

function readEnv(value: unknown, at: string): Readonly<Record<string, string>> {
  const list: unknown = value ?? []
  if (!Array.isArray(list)) throw new Error(`${at} is not a list`)
  const pairs = list.map((item: unknown, index) => {
    const name = isMap(item) ? textOf(item['name']) : undefined
    const text = isMap(item) ? item['value'] : undefined
    if (name === undefined || /[=\0]/.test(name) || typeof text !== 'string') {
      throw new Error(`${at}[${index}] is not a name with a value`)
    }
    return [name, text] as const
  })
  return Object.fromEntries(pairs)
}

/** KEP-4412: without `requireServiceAccount` a plugin also runs for those who have none. */
function needsServiceAccount(attributes: unknown): boolean {
  return isMap(attributes) && attributes['requireServiceAccount'] !== false
}
