import type { IncomingMessage } from 'node:http'

import picomatch from 'picomatch'

import type { FrontDoorConfig } from '../config/config.ts'
import { RegistryError } from '../oci/errors.ts'
import { Attempts } from './attempts.ts'
import { type AuthFailure, type Caller, Fingerprints, parseBasic } from './caller.ts'
import { challenge } from './challenge.ts'
import type { Htpasswd } from './htpasswd.ts'
import type { Peer } from './peer.ts'

/** Wrong passwords from one address. Each costs a bcrypt. */
const LOGINS_PER_MINUTE = 20

export interface FrontDoorOptions {
  /** `undefined`: anyone who reaches the port is let in. */
  readonly config: FrontDoorConfig | undefined
  readonly htpasswd: Htpasswd | undefined
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
  readonly onFailure: (kind: AuthFailure) => void
}

/** Who comes in at all, and which repositories a user of this door may see. */
export class FrontDoor {
  readonly #options: FrontDoorOptions
  readonly #fingerprints = new Fingerprints()
  readonly #logins: Attempts
  readonly #rules: readonly {
    readonly isUser: (user: string) => boolean
    readonly isRepository: (name: string) => boolean
  }[]

  constructor(options: FrontDoorOptions) {
    const { config, monotonic } = options
    this.#options = options
    this.#logins = new Attempts({ perMinute: LOGINS_PER_MINUTE, monotonic })
    this.#rules = (config?.rules ?? []).map(({ users, repositories }) => ({
      isUser: picomatch([...users], { dot: true }),
      isRepository: picomatch([...repositories], { dot: true }),
    }))
  }

  /**
   * @throws {RegistryError} `UNAUTHORIZED` with a challenge, `DENIED` where only a certificate would
   *   help, or `TOOMANYREQUESTS`
   */
  async enter(request: Pick<IncomingMessage, 'headers'>, peer: Peer): Promise<Caller> {
    const { config, onFailure } = this.#options
    const { authorization } = request.headers
    const { isEncrypted, address } = peer
    const credential = this.#fingerprints.identify(authorization)
    const common = { credential, isEncrypted, address }
    if (config === undefined) return { user: undefined, entry: 'open', ...common }
    if (config.clientCertificates) {
      const identity = peer.certificate()
      if (identity.kind === 'name') return { user: identity.name, entry: 'certificate', ...common }
      if (identity.kind === 'untrusted') onFailure('certificate')
    }
    const user = await this.#login(authorization, address)
    // What opened this door is a secret of this door, and no registry's.
    return { ...common, user, entry: 'password', credential: undefined }
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

  /** Whoever was right before is let in at once, however many from that address are wrong. */
  async #login(authorization: string | undefined, address: string): Promise<string> {
    const { htpasswd, onFailure } = this.#options
    // No password opens this door, so none is asked for.
    if (htpasswd === undefined) throw denied()
    const basic = parseBasic(authorization)
    if (basic === undefined) throw challenge('larder')
    const { username, password } = basic
    if (await htpasswd.remembers(username, password)) return username
    const isRight = await this.#logins
      .make(
        address,
        () => htpasswd.verify(username, password),
        (right) => !right,
      )
      .catch((error: unknown) => {
        if (error instanceof RegistryError) onFailure('limited')
        throw error
      })
    if (isRight) return username
    onFailure('password')
    throw challenge('larder')
  }
}

function denied(): RegistryError {
  return new RegistryError('DENIED', { message: 'a client certificate is needed here' })
}
