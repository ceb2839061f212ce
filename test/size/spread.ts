/** Of many measurements. */
export interface Spread {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** @throws {RangeError} without values */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
  const [p50, p99, max] = [at(0.5), at(0.99), at(1)]
  if (p50 === undefined || p99 === undefined || max === undefined) throw new RangeError('no values')
  return { p50, p99, max }
}
