import type { Clock } from '../clock.ts'
import type { Credential, CredentialFactory } from './credential.ts'
import { keepMs } from './expiry.ts'
import { isMap, parseMap } from './json.ts'
import { Memory } from './memory.ts'
import type { ProgramResult, Programs } from './programs.ts'

const TIMEOUT_MS = 30_000
/** Helpers do not say how long what they give is good; ECR's is for 12 hours, Google's for one. */
const KEEP_MS = 10 * 60_000
/** Who has just logged in wants to be let in. */
const KEEP_NOTHING_MS = 60_000

/** What makes a suffix a plain file name. */
const SUFFIX = /^[A-Za-z0-9._-]+$/

export interface DockerHelpersOptions {
  readonly credentials: CredentialFactory
  readonly programs: Programs
  readonly clock: Clock
  /** Milliseconds for one run. */
  readonly timeoutMs?: number | undefined
}

/** Docker's credential helpers: `docker-credential-<suffix> get`, found in PATH. */
export class DockerHelpers {
  readonly #options: DockerHelpersOptions
  readonly #memory: Memory<Credential | undefined>

  constructor(options: DockerHelpersOptions) {
    this.#options = options
    this.#memory = new Memory(options.clock)
  }

  /**
   * @param host as in an image's name
   * @returns `undefined` when the helper knows no credential for it
   * @throws {Error} when the helper fails
   */
  async get(suffix: string, host: string): Promise<Credential | undefined> {
    const key = `${suffix} ${host}`
    return await this.#memory.get({
      keys: [key],
      flightKey: () => key,
      ask: async () => {
        const value = await this.#ask(suffix, host)
        return { value, key, lifeMs: this.#lifeOf(value) }
      },
    })
  }

  invalidate({ fingerprint }: Credential): void {
    this.#memory.forget((credential) => credential?.fingerprint === fingerprint)
  }

  #lifeOf(credential: Credential | undefined): number {
    if (credential === undefined) return KEEP_NOTHING_MS
    return keepMs(KEEP_MS, credential.expiresAt, this.#options.clock.now())
  }

  async #ask(suffix: string, host: string): Promise<Credential | undefined> {
    const { programs, timeoutMs = TIMEOUT_MS } = this.#options
    const name = `docker-credential-${suffix}`
    if (!SUFFIX.test(suffix)) throw new Error('a credential helper has no valid name')
    const file = await programs.find(name)
    if (file === undefined) throw new Error(`${name} is not found in PATH`)
    // Docker itself knows its Hub by this name, also where helpers keep its password.
    const server = host === 'docker.io' ? 'https://index.docker.io/v1/' : host
    const run = { name, file, args: ['get'], input: server, timeoutMs }
    return this.#read(name, host, await programs.run(run))
  }

  #read(name: string, host: string, { exitCode, stdout }: ProgramResult): Credential | undefined {
    if (exitCode !== 0) {
      if (/credentials not found|no credentials server URL/i.test(stdout)) return undefined
      throw new Error(
        `${name} failed for ${host} (exit code ${exitCode}): run it by hand to see why`,
      )
    }
    const { ServerURL: server, Username: username, Secret: secret } = parseMap(stdout, name)
    if (typeof username !== 'string' || typeof secret !== 'string') {
      throw new Error(`${name} answered without a username and a secret`)
    }
    if (typeof server === 'string' && server !== '' && toHost(server) !== host) {
      throw new Error(`${name} answered for another registry than ${host}`)
    }
    if (username === '' && secret === '') return undefined
    return this.#options.credentials.create(username, secret, { source: `${name} for ${host}` })
  }
}

/** The registry that a key of `credHelpers`, or a helper's answer, names. */
export function toHost(server: string): string {
  const host = server
    .toLowerCase()
    .replace(/^[a-z]+:\/\//, '')
    .replace(/\/.*$/s, '')
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host
}

/** The helpers that a docker configuration names. */
export interface HelperNames {
  readonly byHost: ReadonlyMap<string, string>
  /** For every other host. */
  readonly store: string | undefined
}

export function parseHelperNames(credHelpers: unknown, credsStore: unknown): HelperNames {
  const helpers = isMap(credHelpers) ? Object.entries(credHelpers) : []
  return {
    byHost: new Map(
      helpers.flatMap(([server, suffix]) =>
        typeof suffix === 'string' ? [[toHost(server), suffix] as const] : [],
      ),
    ),
    store: typeof credsStore === 'string' && credsStore !== '' ? credsStore : undefined,
  }
}
