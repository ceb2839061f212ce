import type { Digest } from '../oci/digest.ts'
import type { Reference } from '../oci/reference.ts'
import type { Place } from '../store/ports.ts'
import { UpstreamError } from '../upstream/errors.ts'
import type { Identity } from '../upstream/ports.ts'
import type { Upstream } from '../upstream/routing.ts'

/** What a caller asks for: the proof of a right is that the registry gives it that very thing. */
export type Asked =
  | { readonly kind: 'manifest'; readonly reference: Reference }
  | { readonly kind: 'blob'; readonly digest: Digest }
  | { readonly kind: 'tags' }
  | { readonly kind: 'referrers'; readonly subject: Digest }

export type Verdict = 'granted' | 'refused'

/**
 * A token alone proves nothing: registries issue them with fewer rights than were asked for.
 *
 * @throws {UpstreamError} when the registry says neither, such as 404
 */
export async function prove(
  { registry }: Upstream,
  { repository }: Place,
  asked: Asked,
  as: Identity,
): Promise<Verdict> {
  try {
    switch (asked.kind) {
      case 'manifest':
        await registry.headManifest(repository, asked.reference, { as })
        return 'granted'
      case 'referrers': {
        const reference = { kind: 'digest', digest: asked.subject } as const
        await registry.headManifest(repository, reference, { as })
        return 'granted'
      }
      case 'blob':
        await registry.headBlob(repository, asked.digest, { as })
        return 'granted'
      case 'tags':
        await registry.listTags(repository, { as })
        return 'granted'
      default:
        return asked satisfies never
    }
  } catch (error) {
    if (error instanceof UpstreamError && error.kind === 'denied') return 'refused'
    throw error
  }
}
