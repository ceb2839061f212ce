import type { Response } from 'express'
import type { z } from 'zod'

import type { RightReport } from './authority.ts'

/** One path of the API and what it does. What a method throws is answered in one place. */
export interface Endpoint {
  /** Below `/api/v1`; `*name` at its end is any number of segments, `:name` is one. */
  readonly path: string
  /** What the query of {@link read} may say; absent: it says nothing. */
  readonly query?: z.ZodType
  /** @throws {AdminError} */
  readonly read?: (asked: Asked) => Promise<object>
  /**
   * Answers to a GET by itself, for as long as whoever asked listens.
   *
   * @throws {AdminError}
   */
  readonly follow?: (asked: Followed, response: Response) => Promise<void>
  readonly post?: Change | Upload
  readonly delete?: Change
}

/** What a GET says. */
export interface Asked {
  readonly query: unknown
  /** What `*name` or `:name` of the path stands for, decoded; empty where there is none. */
  readonly name: string
  /** What it calls this listener: the header `Host`. */
  readonly host: string | undefined
  /** Whether whoever asks may change anything. @throws {AdminError} for a wrong token */
  readonly rightOf: () => Promise<RightReport>
}

/** What a GET says that is answered in events. */
export interface Followed extends Asked {
  /** The one that was had before the connection broke. */
  readonly lastEventId: string | undefined
  readonly isHead: boolean
}

/** What is asked for in JSON. */
export interface Change {
  /** Its name in the audit log: fixed words. */
  readonly action: string
  /** What `prepare` takes. */
  readonly input: z.ZodType
  readonly body?: 'json'
  /** Of what is sent; default 64 KiB. */
  readonly maxBodyBytes?: number
  /**
   * Reads what was sent, without doing any of it: the body of a POST, the query of a DELETE (a body
   * there means nothing, RFC 9110 section 9.3.5).
   *
   * @param name as of {@link Asked}
   * @throws {AdminError}
   */
  prepare(input: unknown, name: string): Prepared
}

export interface Prepared {
  /** As they were understood, for the audit log. */
  readonly parameters: object
  run(response: Response): Promise<Outcome>
}

/** What comes with a body that may have no end, and is read while it comes. */
export interface Upload {
  /** Its name in the audit log: fixed words. */
  readonly action: string
  readonly body: 'stream'
  /** The only `Content-Type` that is taken, in lower case; none that a form of a page could have. */
  readonly mediaType: string
  /** What `prepare` takes. */
  readonly input: z.ZodType
  /**
   * Reads the query, before anything of the body.
   *
   * @throws {AdminError}
   */
  prepare(query: unknown): PreparedUpload
}

export interface PreparedUpload {
  /** As they were understood, for the audit log. */
  readonly parameters: object
  /**
   * What of the body it leaves is thrown away. It may answer in lines (`LineStream`) while it reads.
   *
   * @param body fails when whoever sends it goes away
   */
  run(body: AsyncIterable<Buffer>, response: Response): Promise<Outcome>
}

export interface Outcome {
  /** `undefined`: the change has answered by itself, see `LineStream` and `sendBytes`. */
  readonly body: object | undefined
  /** For the audit log; default: the body. */
  readonly result?: object
}
