import type { Response } from 'express'
import { z } from 'zod'

import type { Endpoint, Outcome } from './endpoint.ts'
import { AdminError } from './errors.ts'
import { answerInEvents } from './event-lines.ts'
import { parseInput } from './input.ts'
import type { Verification, VerifyEvent } from './ports/verification.ts'

const VERIFY = z.strictObject({ repair: z.boolean().default(false) })

export interface VerifyEndpointOptions {
  readonly verification: Verification
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
}

/** `POST /verify`: hashes everything, one at a time, for as long as whoever asked listens. */
export class VerifyEndpoint implements Endpoint {
  readonly path = '/verify'
  readonly post = {
    action: 'verify',
    input: VERIFY,
    prepare: (input: unknown) => {
      const { repair } = parseInput(VERIFY, input)
      return { parameters: { repair }, run: (response: Response) => this.#run(repair, response) }
    },
  }
  readonly #options: VerifyEndpointOptions
  #isRunning = false

  constructor(options: VerifyEndpointOptions) {
    this.#options = options
  }

  async #run(repair: boolean, response: Response): Promise<Outcome> {
    if (this.#isRunning) {
      // Two would read the same disk against each other.
      throw new AdminError('CONFLICT', { message: 'a verification is under way already' })
    }
    this.#isRunning = true
    try {
      return await this.#stream(repair, response)
    } finally {
      this.#isRunning = false
    }
  }

  #stream(repair: boolean, response: Response): Promise<Outcome> {
    const { verification, monotonic } = this.#options
    return answerInEvents(response, {
      monotonic,
      started: { repair },
      async work(lines, signal) {
        const onEvent = ({ kind, ...event }: VerifyEvent) => {
          if (kind === 'progress') lines.progress({ event: kind, ...event })
          else lines.write({ event: kind, ...event })
        }
        const done = await verification.verify({ repair, signal }, onEvent)
        // Which they are is for the answer, and would make the line of the log a long one.
        const { checked, ok, damaged, missing, repaired } = done
        return { done, result: { checked, ok, damaged, missing, repaired } }
      },
    })
  }
}
