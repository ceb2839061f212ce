import { ConfigError } from '../config/problems.ts'
import { reasonOf } from './reason.ts'

/**
 * Runs what reads the files that a key names.
 *
 * @throws {ConfigError} when they cannot be used: the mistake of whoever named them, and no bug
 */
export function withNamed<T>(key: string, use: () => T): T {
  try {
    return use()
  } catch (error) {
    throw unusable(key, error)
  }
}

/** The same for what reads them in its own time. */
export function unusable(key: string, error: unknown): ConfigError {
  return new ConfigError([{ path: key, message: reasonOf(error) }], { cause: error })
}
