/** Where in the configuration something is: keys and list indices from its root. */
export type Path = readonly (string | number)[]

/** Something wrong, or worth a warning, in the configuration. Never holds a value of it. */
export interface Problem {
  readonly file?: string
  /** From 1. */
  readonly line?: number
  /** From 1. */
  readonly column?: number
  /** The environment variable that said it, instead of a place in the file. */
  readonly variable?: string
  /** Dotted, such as `upstreams.0.url`; empty for the document as a whole. */
  readonly path: string
  readonly message: string
}

export function formatPath(path: Path): string {
  return path.join('.')
}

/** `file:line:column: path: message`, or `LARDER__…: path: message`. */
export function formatProblem({ file, line, column, variable, path, message }: Problem): string {
  const place = variable ?? [file, line, column].filter((part) => part !== undefined).join(':')
  return [place, path, message].filter((part) => part !== '').join(': ')
}

/** In the order of the file; what has no place in it comes last. */
export function compareProblems(a: Problem, b: Problem): number {
  const line = (a.line ?? Number.MAX_SAFE_INTEGER) - (b.line ?? Number.MAX_SAFE_INTEGER)
  return line !== 0 ? line : (a.column ?? 0) - (b.column ?? 0)
}

/** The configuration cannot be used. Its message is every problem, one a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[], options?: ErrorOptions) {
    super(problems.map(formatProblem).join('\n'), options)
    this.problems = problems
  }

  /** One line a problem: `file:line:column: path: message`. */
  format(): string {
    return this.message
  }
}
