import type { ByteRange } from '../pull/content.ts'

/** More than this many, or more bytes than the whole, is answered with the whole. */
const MAX_RANGES = 128

const RANGES = /^bytes=\s*(?:(?:\d+-\d*|-\d+)\s*(?:,\s*(?=\S)|$))+$/i

/**
 * - `whole`: there is no range, or one that may be ignored (RFC 9110 §14.2)
 * - `unsatisfiable`: 416
 * - `parts`: those that can be satisfied, in the order asked for, never merged: containers-image
 *   counts them
 */
export type Ranges =
  | { readonly kind: 'whole' }
  | { readonly kind: 'unsatisfiable' }
  | { readonly kind: 'parts'; readonly parts: readonly ByteRange[] }

const WHOLE: Ranges = { kind: 'whole' }

/**
 * RFC 9110 §14.1.2. Written here because range-parser takes a suffix longer than the content for
 * unsatisfiable, where the RFC wants the whole.
 *
 * @param size of the whole, in bytes
 */
export function parseRanges(header: string | undefined, size: number): Ranges {
  if (header === undefined || header.length > 16_384 || !RANGES.test(header)) return WHOLE
  const specs = header.slice('bytes='.length).split(',')
  if (specs.length > MAX_RANGES) return WHOLE
  // A suffix of nothing can be satisfied, yet no Content-Range can say so (RFC 9110 §14.1.2).
  if (size === 0 && specs.some((spec) => /^\s*-0*[1-9]/.test(spec))) return WHOLE
  const parts = specs.map((spec) => resolve(spec.trim(), size)).filter((part) => part !== undefined)
  if (parts.length === 0) return { kind: 'unsatisfiable' }
  const bytes = parts.reduce((sum, { start, end }) => sum + end - start + 1, 0)
  return bytes > size ? WHOLE : { kind: 'parts', parts }
}

function resolve(spec: string, size: number): ByteRange | undefined {
  const [first = '', last = ''] = spec.split('-')
  const from = Number(first)
  const to = last === '' ? size - 1 : Number(last)
  if (first === '') {
    return to === 0 || size === 0 ? undefined : { start: Math.max(0, size - to), end: size - 1 }
  }
  const end = Math.min(to, size - 1)
  return from > to || from >= size ? undefined : { start: from, end }
}

/** RFC 9110 §13.1.5: a range is only for the one who has the same bytes already. */
export function passesIfRange(header: string | undefined, etag: string): boolean {
  return header === undefined || header === etag
}

/** RFC 9110 §13.1.2, weak comparison. */
export function matchesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  return header.split(',').some((one) => one.trim().replace(/^W\//, '') === etag)
}
