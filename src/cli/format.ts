/** Numbers and times for people; programs ask for JSON. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** `1.5 GiB`: two or three figures, rounded. {@link formatSize} of the configuration is exact. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  // What would be shown as 1024 is one of the next.
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  const figures = unit > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0)
  return `${figures} ${UNITS[unit]}`
}

/** `2026-01-31 12:00:00Z` */
export function formatTime(epochMs: number): string {
  return new Date(epochMs)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z')
}

/** `12 s`, `3 min 20 s`, `2 h 5 min` */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes} min ${whole % 60} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** `1 tag`, `2 tags` */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`
}
