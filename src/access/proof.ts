import type { Digest } from '../oci/digest.ts'
import type { Reference } from '../oci/reference.ts'
import type { Place } from '../store/ports.ts'
import { UpstreamError } from '../upstream/errors.ts'
import type { Identity, Registry } from '../upstream/ports.ts'
import type { Upstream } from '../upstream/routing.ts'

/** What a caller asks for: the proof of a right is that the registry gives it that very thing. */
export type Asked =
  | { readonly kind: 'manifest'; readonly reference: Reference }
  | { readonly kind: 'blob'; readonly digest: Digest }
  | { readonly kind: 'tags' }
  | { readonly kind: 'referrers'; readonly subject: Digest }

export type Verdict = 'granted' | 'refused'

/**
 * A token alone proves nothing: registries issue them with fewer rights than were asked for. Nor
 * does one of before: the right may have been withdrawn since.
 *
 * @throws {UpstreamError} when the registry says neither, such as 404
 */
export async function prove(
  { registry }: Upstream,
  place: Place,
  asked: Asked,
  as: Identity,
): Promise<Verdict> {
  try {
    await ask(registry, place, asked, as)
    return 'granted'
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    if (error.kind === 'denied') return 'refused'
    const isAbsent = error.kind === 'unknown' && asked.kind !== 'tags'
    if (isAbsent && (await listsTags(registry, place, as))) return 'granted'
    throw error
  }
}

async function ask(registry: Registry, { repository }: Place, asked: Asked, as: Identity) {
  const options = { as, isTokenNew: true }
  switch (asked.kind) {
    case 'manifest':
      return registry.headManifest(repository, asked.reference, options)
    case 'referrers': {
      const reference = { kind: 'digest', digest: asked.subject } as const
      return registry.headManifest(repository, reference, options)
    }
    case 'blob':
      return registry.headBlob(repository, asked.digest, options)
    case 'tags':
      return registry.listTags(repository, options)
    default:
      return asked satisfies never
  }
}

/**
 * 404 to one thing says nothing of the right to others: a signature that was never made is asked for
 * before an image that is there. The list of tags needs the same right as a pull.
 */
async function listsTags(registry: Registry, { repository }: Place, as: Identity) {
  try {
    return (await registry.listTags(repository, { as })).length > 0
  } catch (error) {
    // What it could not say of the list, it has said of what was asked for.
    if (error instanceof UpstreamError) return false
    throw error
  }
}
