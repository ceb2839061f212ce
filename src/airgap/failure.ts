import { type ErrorCode, RegistryError } from '../oci/errors.ts'

/**
 * Why an image cannot be had whole, besides what registries say. `NO_ROOM`: it does not fit, or is
 * not kept; `NOT_PUBLIC`: nobody could read it here; `NO_PLATFORM`: it is for none of those that were
 * asked for; `INCOMPLETE`: not all of what came is here.
 */
export type PreloadErrorCode = 'NO_ROOM' | 'NOT_PUBLIC' | 'NO_PLATFORM' | 'INCOMPLETE'

export interface PreloadFailure {
  readonly code: ErrorCode | PreloadErrorCode
  readonly message: string
}

/** An image that cannot be had whole, though no registry has refused any of it. */
export class PreloadError extends Error {
  override readonly name = 'PreloadError'
  readonly code: PreloadErrorCode

  constructor(code: PreloadErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** What is said of an image; `undefined`: it is no fault of the image, but ours. */
export function failureOf(error: unknown): PreloadFailure | undefined {
  if (!(error instanceof RegistryError) && !(error instanceof PreloadError)) return undefined
  const { code, message } = error
  return { code, message }
}
