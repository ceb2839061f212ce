import type { Repository } from '../../oci/reference.ts'
import type { Credential, CredentialSource } from './credential.ts'
import type { Problems } from './problems.ts'

/** Several sources as one. One that cannot be read is reported and does not hide the others. */
export class SourceList {
  readonly #sources: readonly CredentialSource[]
  readonly #problems: Problems

  constructor(sources: readonly CredentialSource[], problems: Problems) {
    this.#sources = sources
    this.#problems = problems
  }

  /** In the order of the sources, each credential once. Never rejects. */
  async find(host: string, repository: Repository): Promise<readonly Credential[]> {
    const all = await Promise.all(
      this.#sources.map((source) => this.#findIn(source, host, repository)),
    )
    const found = new Map<string, Credential>()
    for (const credential of all.flat()) {
      if (!found.has(credential.fingerprint)) found.set(credential.fingerprint, credential)
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
      this.#problems.solved(`source ${source.name}`)
      return credentials
    } catch (error) {
      this.#problems.report(`source ${source.name}`, error)
      return []
    }
  }
}
