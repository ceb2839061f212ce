/** What is wrong with sources of credentials: said once, and again only when it changes. */
export class Problems {
  readonly #say: (problem: string) => void
  readonly #said = new Map<string, string>()

  constructor(say: (problem: string) => void) {
    this.#say = say
  }

  /** @param of what has the problem */
  report(of: string, error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error)
    if (this.#said.get(of) === problem) return
    this.#said.set(of, problem)
    this.#say(problem)
  }

  solved(of: string): void {
    this.#said.delete(of)
  }
}
