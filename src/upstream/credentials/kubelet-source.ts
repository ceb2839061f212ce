import type { Repository } from '../../oci/reference.ts'
import type { Credential, CredentialSource } from './credential.ts'
import { parseKubeletConfig } from './kubelet-config.ts'
import { KubeletProvider, type KubeletProviderOptions } from './kubelet-provider.ts'
import type { Problems } from './problems.ts'
import { SourceList } from './source-list.ts'
import { WatchedFile } from './watched-file.ts'

export interface KubeletSourceOptions extends Omit<KubeletProviderOptions, 'config'> {
  readonly configFile: string
  readonly problems: Problems
}

/** The kubelet's credential provider plugins, from the same configuration that nodes have. */
export class KubeletSource implements CredentialSource {
  readonly name: string
  readonly #config: WatchedFile<SourceList>

  constructor(options: KubeletSourceOptions) {
    const { configFile, clock, problems } = options
    this.name = configFile
    this.#config = new WatchedFile({
      path: configFile,
      parse: (text, path) => {
        const configs = parseKubeletConfig(text, path)
        const providers = configs.map((config) => new KubeletProvider({ ...options, config }))
        return new SourceList(providers, problems)
      },
      clock,
      problems,
    })
  }

  /** Of every plugin whose `matchImages` match. */
  async find(host: string, repository: Repository): Promise<readonly Credential[]> {
    const providers = await this.#config.read()
    return await providers.find(host, repository)
  }

  invalidate(credential: Credential): void {
    this.#config.current?.invalidate(credential)
    this.#config.recheck()
  }
}
