import type { Credential, CredentialFactory } from './credential.ts'
import { type HelperNames, parseHelperNames } from './docker-helpers.ts'
import { type ImagePattern, parseImagePattern } from './image-match.ts'
import { isMap, parseMap, textOf } from './json.ts'
import type { Problems } from './problems.ts'

export interface DockerConfigEntry {
  readonly pattern: ImagePattern
  readonly credential: Credential
}

export interface DockerConfig {
  readonly path: string
  readonly entries: readonly DockerConfigEntry[]
  readonly helpers: HelperNames
}

export interface DockerConfigContext {
  readonly credentials: CredentialFactory
  readonly problems: Problems
}

/**
 * Reads Docker's `config.json`, Podman's `auth.json`, and the data of the Kubernetes secret types
 * `.dockerconfigjson` and `.dockercfg` (the bare map).
 *
 * @throws {Error} when it is none of them
 */
export function parseDockerConfig(
  text: string,
  path: string,
  { credentials, problems }: DockerConfigContext,
): DockerConfig {
  const document = parseMap(text, path)
  const { auths = {}, credHelpers, credsStore } = document
  if (!isMap(auths)) throw new Error(`${path}: auths is not a map`)
  const entries: DockerConfigEntry[] = []
  for (const [key, value] of Object.entries(isConfig(document) ? auths : document)) {
    const pattern = parseImagePattern(key)
    if (pattern === undefined || !isMap(value)) continue
    const source = `${pattern.key} in ${path}`
    const pair = readPair(value)
    if (pair === 'malformed') {
      problems.report(source, `${source}: auth is not base64 of username:password`)
      continue
    }
    problems.solved(source)
    if (pair === undefined) continue
    const { username, password, identityToken } = pair
    const credential = credentials.create(username, password, { source, identityToken })
    entries.push({ pattern, credential })
  }
  return { path, entries, helpers: parseHelperNames(credHelpers, credsStore) }
}

interface Pair {
  readonly username: string
  readonly password: string
  readonly identityToken: string | undefined
}

/** `undefined` for what says nothing, such as the empty entries that stand for a helper. */
function readPair(entry: Record<string, unknown>): Pair | 'malformed' | undefined {
  const auth = textOf(entry['auth'])
  const decoded = auth === undefined ? undefined : decodeAuth(auth)
  if (auth !== undefined && decoded === undefined) return 'malformed'
  const identityToken = textOf(entry['identitytoken'])
  const username = decoded?.username ?? textOf(entry['username']) ?? ''
  const password = decoded?.password ?? textOf(entry['password']) ?? ''
  if (username === '' && password === '' && identityToken === undefined) return undefined
  return { username, password, identityToken }
}

/** base64 of `username:password`; only the first colon counts. Docker pads with NUL. */
function decodeAuth(auth: string): { username: string; password: string } | undefined {
  const text = Buffer.from(auth, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 0) return undefined
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') }
}

/** Tells Docker's file from the bare map of `.dockercfg`, whose keys are registries. */
function isConfig(document: Record<string, unknown>): boolean {
  return ['auths', 'credHelpers', 'credsStore', 'HttpHeaders'].some((key) => key in document)
}
