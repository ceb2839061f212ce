/** Reads texts that the schema has let through: what cannot be read here is a bug. */
import { parseAddress } from './addresses.ts'
import type { Address, Space } from './config.ts'
import { parseDuration } from './durations.ts'
import { parseSize, parseSpace } from './sizes.ts'

/** Milliseconds; `never` is `Infinity`. */
export function durationMsOf(text: string): number {
  return text === 'never' ? Number.POSITIVE_INFINITY : known(parseDuration(text))
}

export function bytesOf(text: string): number {
  return known(parseSize(text))
}

export function spaceOf(text: string): Space {
  return known(parseSpace(text))
}

export function addressOf(text: string): Address {
  return known(parseAddress(text))
}

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError('the schema let a value through that it must not')
  return value
}
