import type { PasswordCredentialConfig } from '../../config/config.ts'
import type { Repository } from '../../oci/reference.ts'
import type { Clock } from '../clock.ts'
import type { Credential, CredentialFactory, CredentialSource } from './credential.ts'
import type { Problems } from './problems.ts'
import { WatchedFile } from './watched-file.ts'

export interface PasswordSourceOptions {
  readonly config: PasswordCredentialConfig
  readonly credentials: CredentialFactory
  readonly clock: Clock
  readonly problems: Problems
}

/** A username and a password that the configuration gives to this upstream, whatever its host. */
export class PasswordSource implements CredentialSource {
  readonly name: string
  readonly #config: PasswordCredentialConfig
  readonly #credentials: CredentialFactory
  readonly #file: WatchedFile<string> | undefined

  constructor({ config, credentials, clock, problems }: PasswordSourceOptions) {
    const { username, path, passwordFile } = config
    const where = path === '' ? '' : ` for ${path}`
    this.name = `username ${username}${where} with ${passwordFile ?? 'password'}`
    this.#config = config
    this.#credentials = credentials
    this.#file =
      passwordFile === undefined
        ? undefined
        : new WatchedFile({ path: passwordFile, parse: parsePassword, clock, problems })
  }

  async find(_host: string, repository: Repository): Promise<readonly Credential[]> {
    if (!isWithin(repository, this.#config.path)) return []
    const password = (await this.#file?.read()) ?? this.#config.password ?? ''
    return [this.#credentials.create(this.#config.username, password, { source: this.name })]
  }

  invalidate(): void {
    this.#file?.recheck()
  }
}

/** Editors and `echo` end a file with a newline that is no part of the password. */
function parsePassword(text: string, path: string): string {
  const password = text.replace(/\r?\n$/, '')
  if (password === '') throw new Error(`${path} is empty`)
  return password
}

/** By segment: `acme` is for `acme/app`, not for `acme-internal/app`. */
function isWithin(repository: Repository, path: string): boolean {
  return path === '' || repository === path || repository.startsWith(`${path}/`)
}
