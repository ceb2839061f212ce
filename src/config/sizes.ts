import type { Space } from './config.ts'

/** A number of bytes as the configuration writes it: one number and its unit. */
export const SIZE = /^(\d{1,16}(?:\.\d{1,6})?)(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)$/

/** A share of the file system, more than none and at most all of it. */
export const PERCENT = /^(100|\d{1,2}(?:\.\d{1,3})?)%$/

export const SIZE_EXPECTED = 'expected a size with its unit, such as 512KiB, 100GiB or 10GB'
export const SPACE_EXPECTED =
  'expected a size with its unit or a share, such as 100GiB, 10GB or 80%'

/** `GiB` counts in 1024s, `GB` in 1000s, as IEC 80000-13 has it. */
const UNITS_BYTES = {
  TiB: 1024 ** 4,
  GiB: 1024 ** 3,
  MiB: 1024 ** 2,
  KiB: 1024,
  TB: 1000 ** 4,
  GB: 1000 ** 3,
  MB: 1000 ** 2,
  KB: 1000,
  kB: 1000,
  B: 1,
} as const

/**
 * `512KiB` → 524288.
 *
 * @returns bytes, rounded to a whole number; `undefined` when the text is not a size
 */
export function parseSize(text: string): number | undefined {
  const [, amount, unit] = SIZE.exec(text) ?? []
  if (amount === undefined || unit === undefined) return undefined
  const bytes = Math.round(Number(amount) * UNITS_BYTES[unit as keyof typeof UNITS_BYTES])
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The shortest text that {@link parseSize} reads back as exactly `bytes`. */
export function formatSize(bytes: number): string {
  return Object.entries(UNITS_BYTES)
    .filter(([, unitBytes]) => bytes !== 0 && bytes % unitBytes === 0)
    .map(([unit, unitBytes]) => `${bytes / unitBytes}${unit}`)
    .reduce((best, text) => (text.length < best.length ? text : best), `${bytes}B`)
}

/** `100GiB` or `80%`; `undefined` when the text is neither. */
export function parseSpace(text: string): Space | undefined {
  const percent = PERCENT.exec(text)?.[1]
  if (percent !== undefined) return { percent: Number(percent) }
  const bytes = parseSize(text)
  return bytes === undefined ? undefined : { bytes }
}

export function formatSpace(space: Space): string {
  return 'bytes' in space ? formatSize(space.bytes) : `${space.percent}%`
}
