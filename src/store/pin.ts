import { createHash } from 'node:crypto'

import type { Digest } from '../oci/digest.ts'
import type { Platforms } from '../oci/platform.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Place } from './ports.ts'

/** What was asked to be kept. */
export type Pin = ReferencePin | PatternPin

interface Kept {
  /** Who asked: {@link MANUAL}, or the name of a preload job. */
  readonly owner: string
  /** Epoch milliseconds. */
  readonly createdAt: number
  /** Epoch milliseconds of Larder's own clock; `undefined`: never. */
  readonly expiresAt: number | undefined
}

/** A tag or digest, with all that a site without a network needs to serve it from files alone. */
export interface ReferencePin extends Kept, Place {
  readonly kind: 'tag' | 'digest'
  readonly reference: Tag | Digest
  readonly digest: Digest
  readonly mediaType: string
  /** Whether the pin moves with its tag. */
  readonly follows: boolean
  /** What of a multi-platform image is meant to be here, such as `linux/amd64`; absent: all of it. */
  readonly platforms?: readonly string[]
  /** When the registry last said that the tag means `digest`, epoch milliseconds. */
  readonly checkedAt: number
  /** As of the place. */
  readonly publicAt: number | undefined
  /**
   * What `digest` reaches and is in the store, but that the registry never gave or confirmed at this
   * place: somebody else's, and a lost database must not make it this place's.
   */
  readonly unproven: readonly Digest[]
  /** Manifests of the place, such as signatures, whose subject is what `digest` reaches. */
  readonly referrers: readonly Digest[]
}

/** Every tag that matches, now and later. */
export interface PatternPin extends Kept {
  readonly kind: 'pattern'
  /** A glob over `<upstream>/<repository>:<tag>`. */
  readonly pattern: string
}

export interface ReferenceRequest {
  readonly place: Place
  readonly reference:
    | { readonly kind: 'tag'; readonly tag: Tag }
    | { readonly kind: 'digest'; readonly digest: Digest }
  /** Default: {@link MANUAL}. */
  readonly owner?: string | undefined
  readonly expiresAt?: number | undefined
  /** Of a tag: whether the pin moves with it. */
  readonly follows?: boolean | undefined
  /** Default: all. */
  readonly platforms?: Platforms | undefined
}

export interface PatternRequest {
  readonly pattern: string
  readonly owner?: string | undefined
  readonly expiresAt?: number | undefined
}

export type PinRequest = ReferenceRequest | PatternRequest

/** What is given has to be equal. */
export interface PinSelector {
  readonly upstream?: string | undefined
  readonly repository?: Repository | undefined
  /** A tag, a digest, or the glob of a pattern. */
  readonly reference?: string | undefined
  readonly owner?: string | undefined
}

export const MANUAL = 'manual'
const PATTERN_OWNER = 'pattern:'
const MAX_OWNER_LENGTH = 128
/** Characters of a glob. */
export const MAX_PATTERN_LENGTH = 512

/** Only what is in the store can be pinned. */
export class NotHereError extends Error {
  override readonly name = 'NotHereError'
  readonly reference: string

  constructor(reference: string) {
    super(`${reference} is not in the store; pull or preload it first`)
    this.reference = reference
  }
}

/** The pin cannot be made as it was asked for. */
export class InvalidPinError extends Error {
  override readonly name = 'InvalidPinError'
}

/**
 * Each tag that a pattern pin has matched has a pin of its own with this owner: without the database
 * nobody else knows what the tag meant.
 */
export function ownerOfMatches({ owner, pattern }: PatternPin): string {
  const hash = createHash('sha256').update(`${owner}\n${pattern}`).digest('hex')
  return `${PATTERN_OWNER}${hash.slice(0, 32)}`
}

/** @throws {InvalidPinError} */
export function checkOwner(owner: string): string {
  const isFit = owner !== '' && owner.length <= MAX_OWNER_LENGTH && !/\p{Cc}/u.test(owner)
  if (isFit && !owner.startsWith(PATTERN_OWNER)) return owner
  throw new InvalidPinError(
    `a pin's owner is a text of 1 to ${MAX_OWNER_LENGTH} characters that does not begin with ` +
      PATTERN_OWNER,
  )
}

/** `<upstream>/<repository>`, then `:<tag>` or `@<digest>`: what patterns match and messages show. */
export function nameOf(place: Place, reference: string): string {
  const separator = reference.includes(':') ? '@' : ':'
  return `${place.upstream}/${place.repository}${separator}${reference}`
}

/** One pin each: to pin the same for the same owner again replaces it. */
export function keyOf(pin: Pin): string {
  const name = pin.kind === 'pattern' ? `pattern ${pin.pattern}` : nameOf(pin, pin.reference)
  return `${name} ${pin.owner}`
}

export function isSelected(pin: Pin, selector: PinSelector): boolean {
  const { upstream, repository, reference, owner } = selector
  if (owner !== undefined && pin.owner !== owner) return false
  if (pin.kind === 'pattern') {
    const isNamed = upstream === undefined && repository === undefined
    return isNamed && (reference === undefined || pin.pattern === reference)
  }
  if (upstream !== undefined && pin.upstream !== upstream) return false
  if (repository !== undefined && pin.repository !== repository) return false
  return reference === undefined || pin.reference === reference
}
