import type { PasswordCredentialConfig } from '../../config/config.ts'
import type { Repository } from '../../oci/reference.ts'
import type { Credential, CredentialFactory, CredentialSource } from './credential.ts'
import { WatchedFile } from './watched-file.ts'

/** A username and a password that the configuration gives to this upstream, whatever its host. */
export class PasswordSource implements CredentialSource {
  readonly #config: PasswordCredentialConfig
  readonly #credentials: CredentialFactory
  readonly #file: WatchedFile<string> | undefined

  constructor(config: PasswordCredentialConfig, credentials: CredentialFactory) {
    this.#config = config
    this.#credentials = credentials
    const { passwordFile } = config
    // Editors and `echo` end a file with a newline that is no part of the password.
    this.#file =
      passwordFile === undefined
        ? undefined
        : new WatchedFile(passwordFile, (text) => text.replace(/\r?\n$/, ''))
  }

  async find(_host: string, repository: Repository): Promise<readonly Credential[]> {
    if (!isWithin(repository, this.#config.path)) return []
    const password = (await this.#file?.read()) ?? this.#config.password ?? ''
    return [this.#credentials.create(this.#config.username, password)]
  }
}

/** By segment: `acme` is for `acme/app`, not for `acme-internal/app`. */
function isWithin(repository: Repository, path: string): boolean {
  return path === '' || repository === path || repository.startsWith(`${path}/`)
}
