import type { Digest } from '../oci/digest.ts'
import type { Manifest } from '../oci/manifest.ts'
import type { Child, ManifestRecord } from './ports.ts'

/** What the catalog keeps of a manifest. */
export function recordOf(digest: Digest, size: number, manifest: Manifest): ManifestRecord {
  const { mediaType, artifactType, annotations } = manifest
  return { digest, size, mediaType, subject: manifest.subject?.digest, artifactType, annotations }
}

/** What a manifest lists. Its subject is not a child: it points the other way. */
export function childrenOf(manifest: Manifest): Child[] {
  return [
    ...manifest.manifests.map(({ digest, size }): Child => ({ digest, size, kind: 'manifest' })),
    ...manifest.blobs.map(({ digest, size }): Child => ({ digest, size, kind: 'blob' })),
  ]
}
