/** One challenge of a `WWW-Authenticate` header: RFC 9110 §11.6.1. */
export interface Challenge {
  /** Lower case: schemes are case-insensitive. */
  readonly scheme: string
  /** Names in lower case. The first of two equal names stands. */
  readonly parameters: ReadonlyMap<string, string>
}

/** All values together; an honest challenge is a few hundred characters. */
const MAX_LENGTH = 8 * 1024

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))/y
const SPACE = /[ \t]*/y
const SEPARATOR = /[ \t,]*/y
/** A bare value may hold what only a quoted one should: registries forget the quotes of a URL. */
const BARE = /[^\s,]*/y
const QUOTED = /"((?:[^"\\]|\\.)*)(?:"|$)/sy
/** The rest of an unquoted scope: `repository:x:pull` is followed by `,push`. */
const BARE_ACTIONS = /(?:,[a-z*]+(?=,|[ \t]*$|[ \t]*,))+/y
const TO_NEXT = /[^,]*/y

/**
 * Reads every challenge of one or several header values. Tolerates what registries send: missing
 * quotes, unknown parameters, empty list elements. Never throws; what cannot be read is skipped.
 */
export function parseChallenges(values: string | readonly string[] | undefined): Challenge[] {
  const challenges: Challenge[] = []
  let budget = MAX_LENGTH
  for (const value of typeof values === 'string' ? [values] : (values ?? [])) {
    if (budget <= 0) break
    new Scanner(value.slice(0, budget)).readInto(challenges)
    budget -= value.length
  }
  return challenges
}

/** Bearer before Basic, as the token may be for less than the password; others are not spoken. */
export function selectChallenge(challenges: readonly Challenge[]): Challenge | undefined {
  return (
    challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm')) ??
    challenges.find(({ scheme }) => scheme === 'basic')
  )
}

class Scanner {
  readonly #text: string
  #position = 0

  constructor(text: string) {
    this.#text = text
  }

  readInto(challenges: Challenge[]): void {
    this.#take(SEPARATOR)
    while (this.#position < this.#text.length) {
      const scheme = this.#take(TOKEN)
      if (scheme === '') this.#take(TO_NEXT)
      else challenges.push({ scheme: scheme.toLowerCase(), parameters: this.#parameters() })
      this.#take(SEPARATOR)
    }
  }

  #parameters(): Map<string, string> {
    const parameters = new Map<string, string>()
    if (this.#take(SPACE) === '' || this.#take(TOKEN68) !== '') return parameters
    for (;;) {
      const start = this.#position
      this.#take(SEPARATOR)
      const name = this.#take(TOKEN).toLowerCase()
      this.#take(SPACE)
      if (name === '' || this.#text[this.#position] !== '=') {
        // Not a parameter, so it is the next challenge's scheme, or nothing that can be read.
        this.#position = start
        return parameters
      }
      this.#position++
      const value = this.#value(name)
      if (!parameters.has(name)) parameters.set(name, value)
    }
  }

  #value(name: string): string {
    this.#take(SPACE)
    if (this.#text[this.#position] !== '"') {
      const bare = this.#take(BARE)
      return name === 'scope' ? bare + this.#take(BARE_ACTIONS) : bare
    }
    return this.#take(QUOTED, 1).replace(/\\(.)/gs, '$1')
  }

  #take(pattern: RegExp, group = 0): string {
    pattern.lastIndex = this.#position
    const match = pattern.exec(this.#text)
    if (match === null) return ''
    this.#position += match[0].length
    return match[group] ?? ''
  }
}
