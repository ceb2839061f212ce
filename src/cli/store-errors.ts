import { DataDirectoryError, DataDirectoryInUseError, NewerSchemaError } from '../store/errors.ts'
import { ExitError } from './exit.ts'

const EXIT_FAILURE = 1
const EXIT_IN_USE = 75

/**
 * One line for what an operator can mend of a data directory; everything else is given back.
 *
 * @param advice what to do instead where another process has it
 */
export function storeExitError(error: unknown, advice?: string): unknown {
  if (error instanceof DataDirectoryInUseError) {
    const text = advice === undefined ? error.message : `${error.message}; ${advice}`
    return new ExitError(EXIT_IN_USE, text, { cause: error })
  }
  const isKnown = error instanceof DataDirectoryError || error instanceof NewerSchemaError
  const isRefused = error instanceof Error && 'syscall' in error
  if (!isKnown && !isRefused) return error
  return new ExitError(EXIT_FAILURE, error.message, { cause: error })
}
