/**
 * The error table of the distribution specification (v1.1.1, "Error Codes"), and the one error
 * class that the API shows to a client. A code carries its status, so neither can be forgotten.
 */
const ERROR_CODES = {
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to registry' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'blob upload invalid' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'blob upload unknown to registry' },
  DIGEST_INVALID: { status: 400, message: 'digest is malformed' },
  MANIFEST_BLOB_UNKNOWN: { status: 404, message: 'manifest references an unknown blob' },
  MANIFEST_INVALID: { status: 400, message: 'manifest invalid' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown to registry' },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to registry' },
  SIZE_INVALID: { status: 400, message: 'length does not match content' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  DENIED: { status: 403, message: 'requested access to the resource is denied' },
  UNSUPPORTED: { status: 405, message: 'the operation is unsupported' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
  // The table binds 4xx only. These three are distribution's names, for what it has no code for.
  UNAVAILABLE: { status: 503, message: 'service unavailable' },
  UPSTREAM_FAILED: { status: 502, message: 'the registry could not be reached' },
  UNKNOWN: { status: 500, message: 'unknown error' },
} as const satisfies Record<string, { status: number; message: string }>

export type ErrorCode = keyof typeof ERROR_CODES

export interface RegistryErrorOptions {
  /** Shown to the client: never a secret, never another caller's data. */
  readonly message?: string
  readonly detail?: unknown
  /** Where one code has several statuses: 502 or 504, 404 or 400. */
  readonly status?: number
  /** Response headers that belong to this failure, such as `Retry-After` or `Allow`. */
  readonly headers?: Readonly<Record<string, string>>
  /** Never shown; goes to the log. */
  readonly cause?: unknown
}

/** A failure that has a name in the specification; the only error the API shows to a client. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError'
  readonly code: ErrorCode
  readonly status: number
  readonly detail: unknown
  readonly headers: Readonly<Record<string, string>>

  constructor(code: ErrorCode, options: RegistryErrorOptions = {}) {
    super(options.message ?? ERROR_CODES[code].message, { cause: options.cause })
    this.code = code
    this.status = options.status ?? ERROR_CODES[code].status
    this.detail = options.detail
    this.headers = options.headers ?? {}
  }

  toJSON(): object {
    const { code, message, detail } = this
    return { errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] }
  }
}

/** Bytes are not what their digest or their announced size says. Nothing of them may be kept. */
export class ContentMismatchError extends Error {
  override readonly name = 'ContentMismatchError'
  readonly what: 'digest' | 'size'
  readonly expected: string
  readonly actual: string

  constructor(what: 'digest' | 'size', expected: string, actual: string) {
    super(`${what} mismatch: expected ${expected}, got ${actual}`)
    this.what = what
    this.expected = expected
    this.actual = actual
  }
}
