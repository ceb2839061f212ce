import type { CredentialConfig } from '../../config/config.ts'
import type { Logger } from '../../log.ts'
import type { Repository } from '../../oci/reference.ts'
import { type Credential, CredentialFactory, type CredentialSource } from './credential.ts'
import { DockerConfigSource } from './docker-config.ts'
import { PasswordSource } from './password.ts'

/** The sources of one upstream. */
export interface CredentialSources {
  /** For the registry that the upstream is. */
  readonly own: CredentialSource
  /** For its mirrors: only what a source names by their host. A password belongs to the registry. */
  readonly byHost: CredentialSource
  readonly empty: boolean
}

/**
 * Builds them in the order of the configuration, those with longer paths first.
 *
 * @throws {Error} for a kind that this version does not have
 */
export function createSources(
  configs: readonly CredentialConfig[],
  logger: Logger,
): CredentialSources {
  const credentials = new CredentialFactory()
  const all: CredentialSource[] = []
  const byHost: CredentialSource[] = []
  for (const config of [...configs].sort((a, b) => pathLength(b) - pathLength(a))) {
    const source = createSource(config, credentials, logger)
    all.push(source)
    if (config.kind !== 'password') byHost.push(source)
  }
  return {
    own: new SourceList(all, logger),
    byHost: new SourceList(byHost, logger),
    empty: configs.length === 0,
  }
}

function createSource(
  config: CredentialConfig,
  credentials: CredentialFactory,
  logger: Logger,
): CredentialSource {
  switch (config.kind) {
    case 'password':
      return new PasswordSource(config, credentials)
    case 'dockerConfig':
      return new DockerConfigSource(config.file, credentials, logger)
    case 'kubelet':
      throw new Error('kubeletCredentialProvider is not available in this version')
    default:
      return config satisfies never
  }
}

function pathLength(config: CredentialConfig): number {
  return config.kind === 'password' ? config.path.length : 0
}

/** Several sources as one. One that cannot be read is reported and does not hide the others. */
class SourceList implements CredentialSource {
  readonly #sources: readonly CredentialSource[]
  readonly #logger: Logger
  /** What was last said of each, so that a broken one is not reported with every request. */
  readonly #problems = new Map<CredentialSource, string>()

  constructor(sources: readonly CredentialSource[], logger: Logger) {
    this.#sources = sources
    this.#logger = logger
  }

  async find(host: string, repository: Repository): Promise<readonly Credential[]> {
    const found = new Map<string, Credential>()
    for (const source of this.#sources) {
      for (const credential of await this.#findIn(source, host, repository)) {
        if (!found.has(credential.fingerprint)) found.set(credential.fingerprint, credential)
      }
    }
    return [...found.values()]
  }

  invalidate(credential: Credential): void {
    for (const source of this.#sources) source.invalidate?.(credential)
  }

  async #findIn(
    source: CredentialSource,
    host: string,
    repository: Repository,
  ): Promise<readonly Credential[]> {
    try {
      const credentials = await source.find(host, repository)
      this.#problems.delete(source)
      return credentials
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error)
      if (this.#problems.get(source) !== problem) {
        this.#problems.set(source, problem)
        this.#logger.error({ problem }, 'a credential source cannot be read')
      }
      return []
    }
  }
}
