/** RFC 9110 §14.4. `undefined` fields: the unsatisfied form, or an unknown total. */
export interface ContentRange {
  readonly first: number | undefined
  readonly last: number | undefined
  readonly total: number | undefined
}

const PATTERN = /^bytes (?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15}|\*)$/i

/** `undefined` when it is missing, malformed or contradicts itself. */
export function parseContentRange(value: string | undefined): ContentRange | undefined {
  const match = PATTERN.exec(value?.trim() ?? '')
  if (match === null) return undefined
  const first = toNumber(match[1])
  const last = toNumber(match[2])
  const total = match[3] === '*' ? undefined : toNumber(match[3])
  if (first !== undefined && last !== undefined) {
    if (last < first || (total !== undefined && last >= total)) return undefined
  }
  return { first, last, total }
}

function toNumber(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text)
}
