import type { Response } from 'express'

/** One path of the API and what it does. What a method throws is answered in one place. */
export interface Endpoint {
  /** Below `/api/v1`. */
  readonly path: string
  readonly read?: () => Promise<object>
  readonly post?: Change
  readonly delete?: Change
}

export interface Change {
  /** Its name in the audit log: fixed words. */
  readonly action: string
  /**
   * Reads what was sent, without doing any of it: the body of a POST, the query of a DELETE (a body
   * there means nothing, RFC 9110 section 9.3.5).
   *
   * @throws {AdminError}
   */
  prepare(input: unknown): Prepared
}

export interface Prepared {
  /** As they were understood, for the audit log. */
  readonly parameters: object
  run(response: Response): Promise<Outcome>
}

export interface Outcome {
  /** `undefined`: the change has answered by itself. */
  readonly body: object | undefined
  /** For the audit log; default: the body. */
  readonly result?: object
}
