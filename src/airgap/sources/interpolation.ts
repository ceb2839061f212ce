/** A text whose variables are filled in. */
export interface Interpolated {
  readonly text: string
  /** Names that nothing was said for: Compose makes nothing of them, and warns. */
  readonly unset: readonly string[]
  /** Names that have to be set and are not (`${NAME:?…}`). */
  readonly missing: readonly string[]
}

/** Deeper than anybody nests defaults. */
const MAX_DEPTH = 10

/** https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md */
export function interpolate(
  text: string,
  variables: ReadonlyMap<string, string>,
): Interpolated | undefined {
  const run = new Interpolation(variables)
  const filled = run.fill(text, 0)
  if (filled === undefined) return undefined
  return { text: filled, unset: run.unset, missing: run.missing }
}

class Interpolation {
  readonly unset: string[] = []
  readonly missing: string[] = []
  readonly #variables: ReadonlyMap<string, string>

  constructor(variables: ReadonlyMap<string, string>) {
    this.#variables = variables
  }

  /** @returns undefined when a brace is not closed, or what is in it is none of the forms */
  fill(text: string, depth: number): string | undefined {
    if (depth > MAX_DEPTH) return undefined
    let result = ''
    for (let at = 0; at < text.length; ) {
      const dollar = text.indexOf('$', at)
      if (dollar < 0) return result + text.slice(at)
      result += text.slice(at, dollar)
      const piece = this.#piece(text, dollar, depth)
      if (piece === undefined) return undefined
      result += piece.value
      at = piece.end
    }
    return result
  }

  #piece(text: string, dollar: number, depth: number): { value: string; end: number } | undefined {
    const next = text[dollar + 1]
    if (next === '$') return { value: '$', end: dollar + 2 }
    if (next === '{') {
      const end = closingBrace(text, dollar + 2)
      const value = end < 0 ? undefined : this.#braced(text.slice(dollar + 2, end), depth)
      return value === undefined ? undefined : { value, end: end + 1 }
    }
    const [name] = /^[A-Za-z_]\w*/.exec(text.slice(dollar + 1)) ?? []
    if (name === undefined) return undefined
    return { value: this.#plain(name), end: dollar + 1 + name.length }
  }

  #braced(body: string, depth: number): string | undefined {
    const [, name, operator, rest = ''] = /^([A-Za-z_]\w*)(?:(:?[-?+])(.*))?$/s.exec(body) ?? []
    if (name === undefined) return undefined
    if (operator === undefined) return this.#plain(name)
    const value = this.#variables.get(name)
    const isSet = value !== undefined && !(operator.startsWith(':') && value === '')
    if (operator.endsWith('+')) return isSet ? this.fill(rest, depth + 1) : ''
    if (isSet) return value
    if (operator.endsWith('-')) return this.fill(rest, depth + 1)
    this.missing.push(name)
    return ''
  }

  #plain(name: string): string {
    const value = this.#variables.get(name)
    if (value === undefined) this.unset.push(name)
    return value ?? ''
  }
}

function closingBrace(text: string, from: number): number {
  let open = 1
  for (let at = from; at < text.length; at++) {
    if (text[at] === '{' && text[at - 1] === '$') open++
    else if (text[at] === '}' && --open === 0) return at
  }
  return -1
}
