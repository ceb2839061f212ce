/** A matcher goes back for each: with a fourth, a long name can take it seconds, with a sixth minutes. */
const MAX_STARS = 3

/** For whoever wrote one that costs more. */
export const GLOB_LIMIT = `has more than ${MAX_STARS} * in one part of a name, which takes too long to match`

/** Whether a glob over names is matched at once, whatever a name is: nothing else goes on meanwhile. */
export function isCheapGlob(glob: string): boolean {
  const parts = glob.split(/[/:]/)
  const across = parts.filter((part) => part === '**').length
  // What a brace or bracket holds may stand beside anything.
  const counted = /[{(]/.test(glob) ? [parts.filter((part) => part !== '**').join('')] : parts
  return across <= MAX_STARS && counted.every((part) => starsOf(part) <= MAX_STARS)
}

function starsOf(part: string): number {
  return part.match(/\*+/g)?.length ?? 0
}
