import type { Logger } from '../log.ts'
import type { Right } from './authority.ts'
import { AdminError } from './errors.ts'

export interface Changed {
  readonly action: string
  /** The address at the other end. */
  readonly peer: string
  readonly by: Right
  /** What was asked for, as it was understood. Never a secret. */
  readonly parameters: object
}

/** One line for each change, and for each that was refused: who, what, and what came of it. */
export class Audit {
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  done(changed: Changed, result: object): void {
    this.#logger.info({ ...changed, result }, 'changed by an operator')
  }

  failed(changed: Changed, error: unknown): void {
    this.#logger.warn({ ...changed, ...reasonOf(error) }, 'an operator’s change failed')
  }

  /** Guessing goes on in silence once it is limited: it must not fill the log. */
  refused(attempt: Pick<Changed, 'action' | 'peer'>, error: AdminError): void {
    if (error.code === 'TOO_MANY_REQUESTS') return
    this.#logger.warn({ ...attempt, ...reasonOf(error) }, 'a change was refused')
  }
}

function reasonOf(error: unknown): { code: string; reason: string } {
  if (error instanceof AdminError) return { code: error.code, reason: error.message }
  return { code: 'INTERNAL', reason: error instanceof Error ? error.message : String(error) }
}
