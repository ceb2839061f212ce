/** Numbers and times as people read them. Between a number and its unit is a space that never breaks. */

const SPACE = '\u00a0'
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/**
 * Three digits that matter: `1.24 GiB`, `12.4 GiB`, `124 GiB`.
 *
 * @param {number} value
 */
export function bytes(value) {
  const size = Math.abs(value)
  let power = 0
  while (power < UNITS.length - 1 && Math.round(size / 1024 ** power) >= 1000) power++
  const scaled = size / 1024 ** power
  const digits = power === 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2
  return `${value < 0 ? '−' : ''}${scaled.toFixed(digits)}${SPACE}${UNITS[power]}`
}

/** @param {number} value */
export function count(value) {
  return Math.round(value).toLocaleString('en-US').replaceAll(',', '\u202f')
}

/**
 * `1 layer`, `2 layers`.
 *
 * @param {number} value
 * @param {string} one
 * @param {string} [many]
 */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)}${SPACE}${value === 1 ? one : many}`
}

/**
 * Never 100 % of what is not all, nor 0 % of what is not nothing.
 *
 * @param {number | undefined} ratio
 */
export function percent(ratio) {
  if (ratio === undefined) return '–'
  const value = ratio * 100
  const digits = value > 0 && value < 100 && (value < 10 || value > 90) ? 1 : 0
  let text = value.toFixed(digits)
  if (ratio < 1 && Number(text) === 100) text = '99.9'
  if (ratio > 0 && Number(text) === 0) return `<${SPACE}0.1${SPACE}%`
  return `${text}${SPACE}%`
}

/**
 * The two largest units: `3 d 4 h`, `12 s`.
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  const rest = Math.max(0, Math.round(seconds))
  const parts = /** @type {const} */ ([
    [Math.floor(rest / DAY), 'd'],
    [Math.floor((rest % DAY) / HOUR), 'h'],
    [Math.floor((rest % HOUR) / MINUTE), 'min'],
    [rest % MINUTE, 's'],
  ])
  const first = parts.findIndex(([value]) => value > 0)
  if (first === -1) return `0${SPACE}s`
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value}${SPACE}${unit}`)
    .join(' ')
}

/** @param {number} ms */
export function milliseconds(ms) {
  if (ms < 1) return `<${SPACE}1${SPACE}ms`
  if (ms < 1000) return `${Math.round(ms)}${SPACE}ms`
  return ms < 60_000 ? `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)}${SPACE}s` : duration(ms / 1000)
}

/**
 * One unit is enough: `4 min ago`, `in 3 d`.
 *
 * @param {number} at epoch milliseconds
 * @param {number} now
 */
export function relative(at, now) {
  const seconds = Math.round((now - at) / 1000)
  const size = Math.abs(seconds)
  if (size < 10) return 'just now'
  const text =
    size < MINUTE
      ? `${size}${SPACE}s`
      : size < HOUR
        ? `${Math.round(size / MINUTE)}${SPACE}min`
        : size < 2 * DAY
          ? `${Math.round(size / HOUR)}${SPACE}h`
          : size < 60 * DAY
            ? `${Math.round(size / DAY)}${SPACE}d`
            : `${Math.round(size / (30.44 * DAY))}${SPACE}months`
  return seconds >= 0 ? `${text}${SPACE}ago` : `in${SPACE}${text}`
}

/**
 * In the reader's own zone, to the second.
 *
 * @param {number} at epoch milliseconds
 */
export function exact(at) {
  const date = new Date(at)
  const two = (/** @type {number} */ value) => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** @param {number} at epoch milliseconds */
export function clock(at) {
  return exact(at).slice(11)
}

/**
 * `sha256:1f3e…` with as much as tells digests apart.
 *
 * @param {string} digest
 */
export function shortDigest(digest) {
  const colon = digest.indexOf(':')
  return colon === -1 ? digest.slice(0, 19) : digest.slice(0, colon + 13)
}
