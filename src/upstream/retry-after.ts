/** A registry that asks for more is asked again after this anyway. */
export const MAX_RETRY_AFTER_MS = 60 * 60 * 1000

/** Numbers above are no delay in seconds (31 years) but a point in time. */
const FIRST_EPOCH_SECONDS = 1_000_000_000

const NUMBER = /^\d{1,15}(?:\.\d{1,9})?$/
const HTTP_DATE =
  /^(?:[A-Za-z]{3,9}, \d{2}[ -][A-Za-z]{3}[ -]\d{2,4} \d{2}:\d{2}:\d{2} GMT|[A-Za-z]{3} [A-Za-z]{3} [ \d]\d \d{2}:\d{2}:\d{2} \d{4})$/

/**
 * `Retry-After` in milliseconds from now: seconds or an HTTP date (RFC 9110 §10.2.3), or epoch
 * seconds, as some registries send. `undefined` when it is missing or unreadable.
 *
 * @param now epoch milliseconds
 */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  const text = value?.trim() ?? ''
  if (NUMBER.test(text)) {
    const seconds = Number(text)
    return bound(seconds >= FIRST_EPOCH_SECONDS ? seconds * 1000 - now : seconds * 1000)
  }
  if (!HTTP_DATE.test(text)) return undefined
  const date = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`)
  return Number.isNaN(date) ? undefined : bound(date - now)
}

function bound(delayMs: number): number {
  return Math.min(Math.max(Math.ceil(delayMs), 0), MAX_RETRY_AFTER_MS)
}
