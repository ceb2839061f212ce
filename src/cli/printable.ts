/** What registries say may steer a terminal, or turn what is behind it around: it is shown instead. */

/** Control characters, line separators, and those that are not seen but change what is. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\u2028\u2029\p{Cs}]/gu

/** `\u001b` in place of an escape. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeUnits)
}

/** A document for people and programs: the same JSON, and nothing in it that a terminal obeys. */
export function printableJson(value: unknown): string {
  // Those that JSON itself writes stay as they are: they are its line breaks.
  return `${JSON.stringify(value, undefined, 2).replace(/[^\n]+/g, printable)}\n`
}

function escapeUnits(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    const code = character.charCodeAt(index).toString(16).padStart(4, '0')
    return `\\u${code}`
  }).join('')
}
