import { RegistryError } from '../../oci/errors.ts'
import { type ImageReference, parseImageReference } from '../../oci/reference.ts'

/** A reference, also with the `docker://` that some tools write before it. */
export function readImage(raw: string): ImageReference | undefined {
  try {
    return parseImageReference(raw.replace(/^docker:\/\//, ''))
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}

/** What is wrong with a text that should be an image, without quoting it. */
export function whyNoImage(raw: string): string {
  if (raw.includes('{{')) return UNRENDERED
  if (raw.trim() === '') return 'the image is empty'
  if (raw.includes('://')) return 'not an image: leave the scheme (…://) out'
  if (/^[^:@]*[A-Z]/.test(raw)) return 'not an image: repositories are lower case'
  return 'not an image such as ghcr.io/acme/app:v1'
}

export const UNRENDERED =
  'an unrendered template ({{ … }}): render it first: helm template NAME CHART | larder images -'

/** Whether it says its registry: `ghcr.io/a`, `localhost:5000/a`; not `a/b`. */
export function isHostedRegistry(raw: string): boolean {
  const first = /^([^/]+)\//.exec(raw)?.[1] ?? ''
  return /[.:]/.test(first) || first === 'localhost'
}

/** Whether a tag is written behind it, not a port. */
export function isTagged(raw: string): boolean {
  return /:[^/:]+$/.test(raw)
}
