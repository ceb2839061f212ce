import { RegistryError } from '../oci/errors.ts'
import { GLOB_LIMIT, isCheapGlob } from '../oci/glob.ts'
import { formatReference, normalizeRegistry, parseImageReference } from '../oci/reference.ts'
import { AdminError } from './errors.ts'
import type { Names } from './ports/configuration.ts'
import type { Target } from './ports/target.ts'

/**
 * An image as a person writes it: `nginx`, `ghcr.io/acme/app:v1`, `…@sha256:…`. A digest counts more
 * than the tag before it.
 *
 * @throws {AdminError} `INVALID`, or `NOT_FOUND` where no upstream has that registry
 */
export function parseTarget(names: Names, text: string): Target {
  const { registry, repository, tag, digest } = parseName(text)
  const upstream = findUpstream(names, registry)
  if (digest !== undefined) {
    return { kind: 'reference', upstream, repository, reference: { kind: 'digest', digest } }
  }
  if (tag !== undefined) {
    return { kind: 'reference', upstream, repository, reference: { kind: 'tag', tag } }
  }
  throw unreadable(text)
}

/**
 * A glob over `<upstream>/<repository>:<tag>`, such as `ghcr.io/acme/*:v1*`.
 *
 * @throws {AdminError} `INVALID` for what cannot match anything
 */
export function parsePattern(text: string): Target {
  if (!isCheapGlob(text)) throw new AdminError('INVALID', { message: `${text} ${GLOB_LIMIT}` })
  if (/^[^/]+\/./.test(text) || text === '**') return { kind: 'pattern', pattern: text }
  const message = `${text} is not a pattern such as docker.io/library/*:1.*, or ** for everything`
  throw new AdminError('INVALID', { message })
}

/** @throws {AdminError} `NOT_FOUND` */
export function findUpstream(names: Names, registry: string): string {
  const upstream = names.find(normalizeRegistry(registry))
  if (upstream !== undefined) return upstream
  const message = `no upstream is ${registry}; there are: ${names.all().join(', ')}`
  throw new AdminError('NOT_FOUND', { message })
}

export function formatTarget(target: Target): string {
  if (target.kind === 'pattern') return target.pattern
  const { upstream, repository, reference } = target
  const mark = reference.kind === 'tag' ? ':' : '@'
  return `${upstream}/${repository}${mark}${formatReference(reference)}`
}

function parseName(text: string) {
  try {
    return parseImageReference(text)
  } catch (error) {
    if (error instanceof RegistryError) throw unreadable(text, error)
    throw error
  }
}

function unreadable(text: string, cause?: unknown): AdminError {
  const message = `${text} is not an image such as ghcr.io/acme/app:v1`
  return new AdminError('INVALID', { message, cause })
}
