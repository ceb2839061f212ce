import type { Repository } from '../../oci/reference.ts'
import type { Clock } from '../clock.ts'
import type { Credential, CredentialFactory, CredentialSource } from './credential.ts'
import { type DockerConfig, parseDockerConfig } from './docker-config.ts'
import type { DockerHelpers } from './docker-helpers.ts'
import { compareSpecificity, matchesImage } from './image-match.ts'
import type { Problems } from './problems.ts'
import { WatchedFolder } from './watched-folder.ts'

export interface DockerConfigSourceOptions {
  /** A file, or a folder of many, as Kubernetes mounts secrets. */
  readonly path: string
  readonly credentials: CredentialFactory
  readonly helpers: DockerHelpers
  readonly clock: Clock
  readonly problems: Problems
}

/** Docker configurations, matched as the kubelet matches them, with the helpers that they name. */
export class DockerConfigSource implements CredentialSource {
  readonly name: string
  readonly #files: WatchedFolder<DockerConfig>
  readonly #helpers: DockerHelpers
  readonly #problems: Problems

  constructor(options: DockerConfigSourceOptions) {
    const { path, helpers, problems } = options
    this.name = path
    this.#helpers = helpers
    this.#problems = problems
    this.#files = new WatchedFolder({
      ...options,
      parse: (text, file) => parseDockerConfig(text, file, options),
    })
  }

  /** Docker's order: a helper knows better than the file that names it. */
  async find(host: string, repository: Repository): Promise<readonly Credential[]> {
    const configs = await this.#files.read()
    const entries = configs
      .flatMap((config) => config.entries)
      .filter(({ pattern }) => matchesImage(pattern, host, repository))
      .sort((a, b) => compareSpecificity(a.pattern, b.pattern))
    return [
      ...(await this.#askHelpers(configs, host)),
      ...entries.map(({ credential }) => credential),
    ]
  }

  invalidate(credential: Credential): void {
    this.#files.recheck()
    this.#helpers.invalidate(credential)
  }

  async #askHelpers(configs: readonly DockerConfig[], host: string): Promise<Credential[]> {
    const named = configs.map(({ helpers }) => helpers.byHost.get(host) ?? helpers.store)
    const suffixes = new Set(named.filter((suffix) => suffix !== undefined))
    const found = await Promise.all([...suffixes].map((suffix) => this.#askHelper(suffix, host)))
    return found.filter((credential) => credential !== undefined)
  }

  async #askHelper(suffix: string, host: string): Promise<Credential | undefined> {
    const key = `helper ${suffix} ${host}`
    try {
      const credential = await this.#helpers.get(suffix, host)
      this.#problems.solved(key)
      return credential
    } catch (error) {
      this.#problems.report(key, error)
      return undefined
    }
  }
}
