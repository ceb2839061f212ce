import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'

import picomatch from 'picomatch'

import type { FrontDoorConfig } from '../config/config.ts'
import { RegistryError } from '../oci/errors.ts'
import { type Caller, Fingerprints, parseBasic } from './caller.ts'
import type { Htpasswd } from './htpasswd.ts'

export interface FrontDoorOptions {
  /** `undefined`: anyone who reaches the port is let in. */
  readonly config: FrontDoorConfig | undefined
  readonly htpasswd: Htpasswd | undefined
}

/** Who comes in at all, and which repositories a user of this door may see. */
export class FrontDoor {
  readonly #config: FrontDoorConfig | undefined
  readonly #htpasswd: Htpasswd | undefined
  readonly #fingerprints = new Fingerprints()
  readonly #rules: readonly {
    readonly isUser: (user: string) => boolean
    readonly isRepository: (name: string) => boolean
  }[]

  constructor({ config, htpasswd }: FrontDoorOptions) {
    this.#config = config
    this.#htpasswd = htpasswd
    this.#rules = (config?.rules ?? []).map(({ users, repositories }) => ({
      isUser: picomatch([...users], { dot: true }),
      isRepository: picomatch([...repositories], { dot: true }),
    }))
  }

  /** @throws {RegistryError} `UNAUTHORIZED`, with a challenge */
  async enter(request: IncomingMessage): Promise<Caller> {
    const { authorization } = request.headers
    const isEncrypted = request.socket instanceof TLSSocket
    const credential = this.#fingerprints.identify(authorization)
    if (this.#config === undefined) return { user: undefined, credential, isEncrypted }
    const certified = this.#config.clientCertificates ? nameInCertificate(request) : undefined
    if (certified !== undefined) return { user: certified, credential, isEncrypted }
    const user = await this.#user(authorization)
    if (user === undefined) {
      const headers = { 'WWW-Authenticate': 'Basic realm="larder", charset="UTF-8"' }
      throw new RegistryError('UNAUTHORIZED', { headers })
    }
    // What opened this door is a secret of this door, and no registry's.
    return { user, credential: undefined, isEncrypted }
  }

  /**
   * @param name `<registry>/<repository>`
   * @throws {RegistryError} `DENIED`
   */
  admit({ user }: Caller, name: string): void {
    if (user === undefined || this.#rules.length === 0) return
    const isAllowed = this.#rules.some((rule) => rule.isUser(user) && rule.isRepository(name))
    if (!isAllowed) throw new RegistryError('DENIED')
  }

  async #user(authorization: string | undefined): Promise<string | undefined> {
    const basic = parseBasic(authorization)
    if (basic === undefined || this.#htpasswd === undefined) return undefined
    const { username, password } = basic
    return (await this.#htpasswd.verify(username, password)) ? username : undefined
  }
}

/** The first name among the subject's alternatives, of a certificate that our CA has signed. */
function nameInCertificate({ socket }: IncomingMessage): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  const names = socket.getPeerCertificate().subjectaltname
  return /(?:^|, )(?:DNS|URI|email):([^,"]+)/.exec(names ?? '')?.[1]
}
