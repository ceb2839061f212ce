/** Ends a command with an exit code other than 0 or 1: `main` alone ends the process. */
export class ExitError extends Error {
  override readonly name = 'ExitError'
  readonly exitCode: number

  /** @param message printed on standard error by `main` if it is not empty */
  constructor(exitCode: number, message = '', options?: ErrorOptions) {
    super(message, options)
    this.exitCode = exitCode
  }
}
