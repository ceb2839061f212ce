/** Values of TOML v1.0.0, as far as they are needed here. */

/** A basic string. JSON escapes alike, but for DEL and for halves of a character. */
export function tomlString(text: string): string {
  return JSON.stringify(text.toWellFormed()).replaceAll('\u007f', '\\u007f')
}

export function tomlStrings(texts: readonly string[]): string {
  return `[${texts.map(tomlString).join(', ')}]`
}

/** Lines, those that are `undefined` left out, with a newline at the end of each. */
export function toText(lines: readonly (string | undefined)[]): string {
  return lines
    .filter((line) => line !== undefined)
    .map((line) => `${line}\n`)
    .join('')
}
