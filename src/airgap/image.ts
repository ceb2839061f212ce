import { RegistryError } from '../oci/errors.ts'
import { type Platforms, parsePlatform } from '../oci/platform.ts'
import {
  formatImageReference,
  formatReference,
  parseImageReference,
  type Reference,
} from '../oci/reference.ts'
import type { Place } from '../store/ports.ts'
import type { Target, Upstream } from '../upstream/routing.ts'

/** An image that was named, and where it is to be had. */
export interface Image {
  /** Whole: `docker.io/library/nginx:1.27`. */
  readonly name: string
  readonly upstream: Upstream
  readonly place: Place
  /** What a node asks the registry for: where there are both, the digest and not the tag. */
  readonly reference: Reference
  /** What its upstream takes of a multi-platform image. */
  readonly platforms: Platforms
}

/** @throws {RegistryError} `NAME_UNKNOWN` for what is not configured or not allowed */
export type ResolveTarget = (registry: string, repository: string) => Target

/**
 * Reads an image's name as people write it.
 *
 * @throws {RegistryError} with a message that says what is wrong with which name
 */
export function resolveImage(text: string, resolve: ResolveTarget): Image {
  const parsed = parseImageReference(text)
  const { registry, tag, digest } = parsed
  const { upstream, repository } = resolveTarget(registry, parsed.repository, resolve)
  const place = { upstream: upstream.config.name, repository }
  const platforms = platformsOf(upstream.config.platforms)
  const common = { name: formatImageReference(parsed), upstream, place, platforms }
  if (digest !== undefined) return { ...common, reference: { kind: 'digest', digest } }
  if (tag !== undefined) return { ...common, reference: { kind: 'tag', tag } }
  throw new RegistryError('NAME_INVALID')
}

/** Those of a configuration, which has looked at them. */
export function platformsOf(texts: 'all' | readonly string[]): Platforms {
  return texts === 'all' ? texts : texts.map(parsePlatform).filter((one) => one !== undefined)
}

/** `docker.io/library/nginx:1.27`, of something that is not named by anybody. */
export function nameOf({ upstream, repository }: Place, reference: Reference): string {
  const mark = reference.kind === 'tag' ? ':' : '@'
  return `${upstream}/${repository}${mark}${formatReference(reference)}`
}

/** @throws {RegistryError} with a message that names the registry and what was asked of it */
export function resolveTarget(
  registry: string,
  repository: string,
  resolve: ResolveTarget,
): Target {
  try {
    return resolve(registry, repository)
  } catch (cause) {
    if (!(cause instanceof RegistryError) || cause.code !== 'NAME_UNKNOWN') throw cause
    const message = `no upstream is configured for ${registry}, or it does not allow ${repository}`
    throw new RegistryError('NAME_UNKNOWN', { message, cause })
  }
}
