const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}

const PART = /(\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(ns|us|µs|μs|ms|s|m|h)/gy

/**
 * A duration as Go's `time.ParseDuration` reads it: `6h0m0s`, `1.5h`, `-1m`, `0`.
 *
 * @returns milliseconds; `undefined` when the text is no duration
 */
export function parseGoDuration(text: string): number | undefined {
  const sign = text.startsWith('-') ? -1 : 1
  const rest = text.replace(/^[-+]/, '')
  if (rest === '0') return 0
  const parts = [...rest.matchAll(PART)]
  const length = parts.reduce((sum, [part]) => sum + part.length, 0)
  if (parts.length === 0 || length !== rest.length) return undefined
  const totalMs = parts.reduce((sum, [, amount, unit]) => {
    return sum + Number(amount) * (UNITS_MS[unit ?? ''] ?? 0)
  }, 0)
  return sign * totalMs
}
