import type { Logger } from '../../log.ts'
import type { Repository } from '../../oci/reference.ts'
import type { Credential, CredentialFactory, CredentialSource } from './credential.ts'
import { type ImagePattern, matchesImage, parseImagePattern } from './image-match.ts'
import { WatchedFile } from './watched-file.ts'

interface Entry {
  readonly pattern: ImagePattern
  readonly credential: Credential
}

/**
 * Docker's `config.json`, Podman's `auth.json`, and the data of the Kubernetes secret types
 * `.dockerconfigjson` and `.dockercfg` (the bare map). Matched as the kubelet does.
 */
export class DockerConfigSource implements CredentialSource {
  readonly #file: WatchedFile<readonly Entry[]>
  readonly #credentials: CredentialFactory
  readonly #logger: Logger
  readonly #path: string

  constructor(path: string, credentials: CredentialFactory, logger: Logger) {
    this.#path = path
    this.#credentials = credentials
    this.#logger = logger
    this.#file = new WatchedFile(path, (text) => this.#parse(text))
  }

  async find(host: string, repository: Repository): Promise<readonly Credential[]> {
    const entries = await this.#file.read()
    return entries
      .filter(({ pattern }) => matchesImage(pattern, host, repository))
      .map(({ credential }) => credential)
  }

  #parse(text: string): readonly Entry[] {
    const document = parseObject(text, this.#path)
    const { auths, credHelpers, credsStore } = document
    if (credHelpers !== undefined || credsStore !== undefined) {
      this.#logger.warn(
        { file: this.#path },
        'credHelpers and credsStore are not available in this version; only auths is used',
      )
    }
    const map = isObject(auths) ? auths : isConfig(document) ? {} : document
    const entries: Entry[] = []
    // In reverse order of their names the longer, more specific of two equal beginnings comes first.
    for (const key of Object.keys(map).sort().reverse()) {
      const pattern = parseImagePattern(key)
      const credential = this.#toCredential(map[key])
      if (pattern !== undefined && credential !== undefined) entries.push({ pattern, credential })
    }
    return entries
  }

  /** `undefined` for what says nothing, such as the empty entries that stand for a helper. */
  #toCredential(value: unknown): Credential | undefined {
    if (!isObject(value)) return undefined
    const { username, password, auth, identitytoken } = value
    const pair = textOf(auth) === undefined ? undefined : decodeAuth(textOf(auth) ?? '')
    const token = textOf(identitytoken)
    const name = pair?.username ?? textOf(username) ?? ''
    const secret = pair?.password ?? textOf(password) ?? ''
    if (name === '' && secret === '' && token === undefined) return undefined
    return this.#credentials.create(name, secret, token)
  }
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

function parseObject(text: string, path: string): Record<string, unknown> {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    // The parser's message would quote the file.
    document = undefined
  }
  if (!isObject(document)) throw new Error(`${path} is not a JSON object`)
  return document
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
