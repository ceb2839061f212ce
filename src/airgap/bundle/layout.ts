/** The documents of an OCI image layout (image-spec v1.1 image-layout.md), and what its files are called. */
import { algorithmOf, type Digest, encodedOf } from '../../oci/digest.ts'
import { OCI_INDEX } from '../../oci/media-types.ts'
import { type BundledImage, bundledName } from './bundle.ts'
import { NAME_ANNOTATION, REF_ANNOTATION } from './naming.ts'

export const LAYOUT_FILE = 'oci-layout'
export const INDEX_FILE = 'index.json'

/** `blobs/sha256/<hex>`: of nothing but a digest is a name in an archive ever made. */
export function blobName(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${encodedOf(digest)}`
}

export function formatLayout(): Buffer {
  return Buffer.from('{"imageLayoutVersion":"1.0.0"}\n')
}

/**
 * One descriptor an image, in the order of their names. `ctr image import` and `podman load` take a
 * name from the one annotation, skopeo (`oci-archive:<file>:<name>`) from the other.
 */
export function formatIndex(images: readonly BundledImage[]): Buffer {
  const manifests = images
    .map((image) => ({ name: bundledName(image), image }))
    .sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0))
    .map(({ name, image: { mediaType, digest, size } }) => ({
      mediaType,
      digest,
      size,
      annotations: { [NAME_ANNOTATION]: name, [REF_ANNOTATION]: name },
    }))
  return Buffer.from(`${JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests })}\n`)
}
