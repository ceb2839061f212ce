import type { ErrorRequestHandler, Response } from 'express'

import type { Logger } from '../log.ts'
import { AdminError } from './errors.ts'

/** What is thrown becomes `{ error: { code, message, problems? } }`. */
export function answerErrors(logger: Logger): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    const shown = toAdminError(error)
    if (shown.code === 'INTERNAL') {
      const { method, path } = request
      const stack = error instanceof Error ? error.stack : error
      logger.error({ method, path, stack }, 'admin API')
    }
    answer(shown, response)
  }
}

function answer(shown: AdminError, response: Response): void {
  if (response.headersSent) {
    // Nothing may look like the end of what has begun.
    if (!response.writableEnded) response.destroy()
    return
  }
  // What is left of a refused body is thrown away, not cut: its sender is to come to read why.
  response.status(shown.status).set(shown.headers).json(shown)
}

/** What express and its body parser throw has a status. */
function toAdminError(error: unknown): AdminError {
  if (error instanceof AdminError) return error
  const status = error instanceof Error && 'status' in error ? error.status : undefined
  if (status === 413) {
    const limit = error instanceof Error && 'limit' in error ? `${error.limit} bytes` : 'allowed'
    const message = `the body is larger than ${limit}`
    return new AdminError('TOO_LARGE', { message, cause: error })
  }
  if (status === 415) return new AdminError('UNSUPPORTED_MEDIA_TYPE', { cause: error })
  if (error instanceof URIError) {
    return new AdminError('INVALID', { message: 'the path cannot be decoded', cause: error })
  }
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new AdminError('INVALID', { message: 'the body is not JSON', cause: error })
  }
  return new AdminError('INTERNAL', { cause: error })
}
