import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

import { Attempts } from '../access/attempts.ts'
import { unmapped } from '../access/peer.ts'
import { isLoopback } from '../config/addresses.ts'
import { RegistryError } from '../oci/errors.ts'
import { AdminError } from './errors.ts'
import { JSON_TYPE } from './media-types.ts'
import { isCrossSite, isForwarded, isOwnHost } from './origin.ts'
import { isSameToken, readTokenFile, TokenFileError } from './token-file.ts'

/** Wrong tokens that an address may send in a row, and how many it gets back in a minute. */
const GUESSES_PER_MINUTE = 20

export interface AuthorityOptions {
  /** Of the configuration in effect. */
  readonly tokenFile: () => string | undefined
  /** `server.adminListen`, as configured. */
  readonly listenHost: string
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
}

/** By what right something was changed. */
export type Right = 'token' | 'loopback' | 'owner'

/** Whether somebody may change anything, and what is needed otherwise. */
export type RightReport =
  | { readonly right: Right }
  | {
      /** `elsewhere`: nothing that could be sent from here would do. */
      readonly needs: 'token' | 'elsewhere'
      readonly reason: string
    }

/** Who is let in to what the admin API does. */
export interface Admission {
  /** @throws {AdminError} */
  admitReader(request: IncomingMessage): void
  /**
   * Before any of the body is read.
   *
   * @param mediaType the only one that this change is sent with
   * @throws {AdminError}
   */
  admitChange(request: IncomingMessage, mediaType: string): Promise<Right>
  /** @throws {AdminError} `UNAUTHORIZED` for a wrong token */
  rightOf(request: IncomingMessage): Promise<RightReport>
}

/** For a handler that only this process can reach: it has the data directory, and so every right. */
export const OWNER: Admission = {
  admitReader() {},
  async admitChange() {
    return 'owner'
  },
  async rightOf() {
    return { right: 'owner' }
  },
}

/**
 * Who may read and who may change. Reading is free to whoever reaches the listener. A change needs
 * the token of `admin.tokenFile`; where none is configured, a listener and a caller that are both on
 * this machine's loopback, and nothing that a browser there may have been made to send.
 */
export class Authority implements Admission {
  readonly #options: AuthorityOptions
  readonly #guesses: Attempts

  constructor(options: AuthorityOptions) {
    this.#options = options
    this.#guesses = new Attempts({ perMinute: GUESSES_PER_MINUTE, monotonic: options.monotonic })
  }

  /** @throws {AdminError} `FORBIDDEN` to a page that had its own name point at this machine */
  admitReader({ headers }: IncomingMessage): void {
    // What listens elsewhere too is reached by such a page without any trick.
    if (isLoopback(this.#options.listenHost)) this.#checkHost(headers.host)
  }

  /** @throws {AdminError} with what to do, before any of the body is read */
  async admitChange(request: IncomingMessage, mediaType = JSON_TYPE): Promise<Right> {
    const { headers } = request
    if (isCrossSite(headers)) throw forbidden('another site made a browser send this')
    // Without asking first, a page of another site can send a form, or a text, and nothing else.
    if (mediaTypeOf(headers) !== mediaType) {
      const message = `this change is sent with Content-Type: ${mediaType}, not compressed`
      throw new AdminError('UNSUPPORTED_MEDIA_TYPE', { message })
    }
    return await this.#prove(request)
  }

  /** @throws {AdminError} `UNAUTHORIZED` for a wrong token, `TOO_MANY_REQUESTS` for many of them */
  async rightOf(request: IncomingMessage): Promise<RightReport> {
    const { authorization } = request.headers
    try {
      if (this.#options.tokenFile() !== undefined && authorization === undefined) {
        return { needs: 'token', reason: 'changes need the token of admin.tokenFile' }
      }
      return { right: await this.#prove(request) }
    } catch (error) {
      if (!(error instanceof AdminError) || error.code !== 'FORBIDDEN') throw error
      return { needs: 'elsewhere', reason: error.message }
    }
  }

  /** Why no token is accepted at present; `undefined` when nothing is wrong. For a line in the log. */
  async problem(): Promise<string | undefined> {
    const file = this.#options.tokenFile()
    if (file === undefined) return undefined
    try {
      await readTokenFile(file)
      return undefined
    } catch (error) {
      if (error instanceof TokenFileError) return `admin.tokenFile ${file}: ${error.message}`
      throw error
    }
  }

  async #prove(request: IncomingMessage): Promise<Right> {
    const file = this.#options.tokenFile()
    if (file === undefined) {
      this.#checkLoopback(request)
      return 'loopback'
    }
    await this.#checkToken(file, request)
    return 'token'
  }

  #checkLoopback({ headers, socket }: IncomingMessage): void {
    const { listenHost } = this.#options
    if (!isLoopback(listenHost)) {
      throw forbidden('server.adminListen is not on loopback and admin.tokenFile is not set')
    }
    if (!isLoopback(unmapped(socket.remoteAddress ?? ''))) {
      throw forbidden('the caller is not on loopback and admin.tokenFile is not set')
    }
    if (isForwarded(headers)) {
      throw forbidden('a proxy sent this for somebody else and admin.tokenFile is not set')
    }
    this.#checkHost(headers.host)
  }

  /** With the right token it does not matter by which name: no page knows it. */
  #checkHost(host: string | undefined): void {
    if (isOwnHost(host, this.#options.listenHost)) return
    throw new AdminError('FORBIDDEN', {
      message:
        'ask by an IP address, localhost or the host of server.adminListen: ' +
        'another Host may be a page that had its own name point here',
    })
  }

  async #checkToken(file: string, { headers, socket }: IncomingMessage): Promise<void> {
    const sent = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
    if (sent === undefined) throw unauthorized('the admin token is needed: Authorization: Bearer …')
    const expected = await readTokenFile(file).catch((error: unknown) => {
      if (!(error instanceof TokenFileError)) throw error
      // Where the file is, is nothing to callers who have shown no right.
      const message = `the file of admin.tokenFile cannot be used: ${error.message}`
      throw new AdminError('FORBIDDEN', { message, cause: error })
    })
    const isRight = await this.#guesses
      .make(
        unmapped(socket.remoteAddress ?? ''),
        async () => isSameToken(expected, sent),
        (right) => !right,
      )
      .catch((error: unknown) => {
        if (!(error instanceof RegistryError)) throw error
        throw new AdminError('TOO_MANY_REQUESTS', { headers: error.headers, cause: error })
      })
    if (!isRight) throw unauthorized('the admin token is wrong')
  }
}

function mediaTypeOf(headers: IncomingHttpHeaders): string | undefined {
  return headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
}

function forbidden(reason: string): AdminError {
  return new AdminError('FORBIDDEN', { message: `changes are refused: ${reason}` })
}

function unauthorized(message: string): AdminError {
  return new AdminError('UNAUTHORIZED', {
    message,
    headers: { 'WWW-Authenticate': 'Bearer realm="larder"' },
  })
}
