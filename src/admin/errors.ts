import type { Problem } from '../config/problems.ts'

/** What the admin API says of a failure. A code carries its status, so neither can be forgotten. */
const ADMIN_ERROR_CODES = {
  INVALID: { status: 400, message: 'the request is not what this endpoint takes' },
  UNAUTHORIZED: { status: 401, message: 'the admin token is needed' },
  FORBIDDEN: { status: 403, message: 'changes are refused' },
  NOT_FOUND: { status: 404, message: 'there is no such thing' },
  METHOD_NOT_ALLOWED: { status: 405, message: 'this path does not take that method' },
  CONFLICT: { status: 409, message: 'this cannot be done now' },
  TOO_LARGE: { status: 413, message: 'the request is too large' },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    message: 'changes are sent with Content-Type: application/json, not compressed',
  },
  INVALID_CONFIGURATION: { status: 422, message: 'the configuration cannot be used' },
  ARCHIVE_REFUSED: { status: 422, message: 'the archive is damaged, or made to do harm' },
  TOO_MANY_REQUESTS: { status: 429, message: 'too many wrong tokens from this address' },
  NO_ROOM: { status: 507, message: 'there is no room for it' },
  INTERNAL: { status: 500, message: 'an error of Larder itself: its log has the details' },
} as const satisfies Record<string, { status: number; message: string }>

export type AdminErrorCode = keyof typeof ADMIN_ERROR_CODES

export interface AdminErrorOptions {
  /** Shown to whoever asked: never a secret. */
  readonly message?: string
  /** Each thing that is wrong; `path` names what of the request, or of the configuration. */
  readonly problems?: readonly Problem[]
  readonly headers?: Readonly<Record<string, string>>
  /** Never shown. */
  readonly cause?: unknown
}

/** A failure of the admin API, as its caller sees it. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
  readonly code: AdminErrorCode
  readonly status: number
  readonly problems: readonly Problem[] | undefined
  readonly headers: Readonly<Record<string, string>>

  constructor(code: AdminErrorCode, options: AdminErrorOptions = {}) {
    super(options.message ?? ADMIN_ERROR_CODES[code].message, { cause: options.cause })
    this.code = code
    this.status = ADMIN_ERROR_CODES[code].status
    this.problems = options.problems
    this.headers = options.headers ?? {}
  }

  toJSON(): object {
    const { code, message, problems } = this
    return { error: { code, message, ...(problems === undefined ? {} : { problems }) } }
  }
}
