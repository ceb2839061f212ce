import { type Digest, isDigest } from '../oci/digest.ts'
import { parsePlatform } from '../oci/platform.ts'
import { isRepository, isTag } from '../oci/reference.ts'
import { MAX_PATTERN_LENGTH, type PatternPin, type Pin, type ReferencePin } from './pin.ts'

/** Of the file format: what has another is not read. */
const VERSION = 1

/** The content of a pin file. */
export function formatPin(pin: Pin): string {
  return `${JSON.stringify({ version: VERSION, ...pin }, undefined, 2)}\n`
}

/** @throws {Error} that says what is wrong with it */
export function parsePin(text: string): Pin {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    throw new Error('it is not JSON')
  }
  if (!isObject(document)) throw new Error('it is not a JSON object')
  const version = document['version']
  if (version !== VERSION) throw new Error(`it has version ${String(version)}, expected ${VERSION}`)
  return document['kind'] === 'pattern' ? patternOf(document) : referenceOf(document)
}

function patternOf(document: Record<string, unknown>): PatternPin {
  const pattern = textAt(document, 'pattern')
  if (pattern.length > MAX_PATTERN_LENGTH) throw wrong('pattern')
  return { kind: 'pattern', pattern, ...keptOf(document) }
}

function referenceOf(document: Record<string, unknown>): ReferencePin {
  const { kind, reference, digest, follows } = document
  const repository = textAt(document, 'repository')
  if (!isRepository(repository)) throw wrong('repository')
  if (!isDigest(digest)) throw wrong('digest')
  if (typeof follows !== 'boolean') throw wrong('follows')
  if (kind !== 'tag' && kind !== 'digest') throw wrong('kind')
  const isFit = kind === 'tag' ? typeof reference === 'string' && isTag(reference) : true
  if (!isFit || (kind === 'digest' && reference !== digest)) throw wrong('reference')
  return {
    kind,
    upstream: textAt(document, 'upstream'),
    repository,
    reference: reference as ReferencePin['reference'],
    ...keptOf(document),
    digest,
    mediaType: textAt(document, 'mediaType'),
    follows,
    ...platformsOf(document),
    checkedAt: timeAt(document, 'checkedAt'),
    publicAt: optionalTimeAt(document, 'publicAt'),
    unproven: digestsAt(document, 'unproven'),
    referrers: digestsAt(document, 'referrers'),
  }
}

function keptOf(document: Record<string, unknown>) {
  return {
    owner: textAt(document, 'owner'),
    createdAt: timeAt(document, 'createdAt'),
    expiresAt: optionalTimeAt(document, 'expiresAt'),
  }
}

function textAt(document: Record<string, unknown>, key: string): string {
  const value = document[key]
  if (typeof value !== 'string' || value === '') throw wrong(key)
  return value
}

function timeAt(document: Record<string, unknown>, key: string): number {
  const value = document[key]
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw wrong(key)
  return value
}

function optionalTimeAt(document: Record<string, unknown>, key: string): number | undefined {
  return document[key] === undefined ? undefined : timeAt(document, key)
}

function digestsAt(document: Record<string, unknown>, key: string): readonly Digest[] {
  const value = document[key] ?? []
  if (!Array.isArray(value) || !value.every(isDigest)) throw wrong(key)
  return value
}

/** Pins of before did not say. */
function platformsOf({ platforms }: Record<string, unknown>): Pick<ReferencePin, 'platforms'> {
  if (platforms === undefined) return {}
  const isPlatform = (one: unknown) => typeof one === 'string' && parsePlatform(one) !== undefined
  if (!Array.isArray(platforms) || !platforms.every(isPlatform)) throw wrong('platforms')
  return { platforms }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function wrong(key: string): Error {
  return new Error(`its ${key} is missing or malformed`)
}
