/** A duration as the configuration writes it: one number and its unit. */
export const DURATION = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$/

export const DURATION_EXPECTED =
  'expected a duration with its unit, such as 500ms, 30s, 10m, 24h or 7d'

/** Largest first: the order in which {@link formatDuration} tries them. */
const UNITS_MS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const

/**
 * `10m` → 600000.
 *
 * @returns milliseconds, rounded to a whole number; `undefined` when the text is not a duration
 */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = DURATION.exec(text) ?? []
  if (amount === undefined || unit === undefined) return undefined
  const durationMs = Math.round(Number(amount) * UNITS_MS[unit as keyof typeof UNITS_MS])
  return Number.isSafeInteger(durationMs) ? durationMs : undefined
}

/** The shortest text that {@link parseDuration} reads back as exactly `durationMs`; `Infinity`: `never`. */
export function formatDuration(durationMs: number): string {
  if (durationMs === Number.POSITIVE_INFINITY) return 'never'
  if (durationMs === 0) return '0s'
  for (const [unit, unitMs] of Object.entries(UNITS_MS)) {
    if (durationMs % unitMs === 0) return `${durationMs / unitMs}${unit}`
  }
  return `${Math.round(durationMs)}ms`
}
