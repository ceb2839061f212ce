import type { ImageSummary } from '../admin/ports/images.ts'
import { formatBytes } from './format.ts'

/** Of the admin API; slashes of the name stay. */
export function imagePath(reference: string): string {
  return `/images/${reference.split('/').map(encodeURIComponent).join('/')}`
}

/** `complete`, `1 of 8 platforms`, `12 MiB missing` */
export function stateOf({ complete, platforms, missingBytes, pinned }: ImageSummary): string {
  const pin = pinned ? ', pinned' : ''
  if (complete) return `complete${pin}`
  const whole = platforms.filter((one) => one.complete).length
  if (platforms.length > 1 && whole > 0) return `${whole} of ${platforms.length} platforms${pin}`
  return missingBytes > 0 ? `${formatBytes(missingBytes)} missing${pin}` : `incomplete${pin}`
}

/** Those that are here, or all where none is. */
export function platformsOf({ platforms }: ImageSummary): string {
  if (platforms.length === 0) return '-'
  const whole = platforms.filter((one) => one.complete)
  const shown = (whole.length > 0 ? whole : platforms).map(({ platform }) => platform)
  const [first = '', second, ...others] = shown
  const rest = others.length === 0 ? '' : ` +${others.length}`
  return second === undefined ? first : `${first}, ${second}${rest}`
}
