/**
 * What was asked for cannot be a bundle. `INVALID`: ask for something else; `NOT_FOUND`: there is
 * nothing; `CONFLICT`: not all of it is here. The message is for whoever asked.
 */
export class ExportError extends Error {
  override readonly name = 'ExportError'
  readonly code: 'INVALID' | 'NOT_FOUND' | 'CONFLICT'

  constructor(code: ExportError['code'], message: string) {
    super(message)
    this.code = code
  }
}
