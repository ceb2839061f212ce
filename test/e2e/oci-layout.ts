import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { algorithmOf, type Digest, encodedOf } from '../../src/oci/digest.ts'
import { OCI_INDEX } from '../../src/oci/media-types.ts'
import type { Content } from '../support/images.ts'

/** Writes an image layout (image-spec v1.1 image-layout.md) from which skopeo pushes `oci:dir:tag`. */
export async function writeOciLayout(
  dir: string,
  contents: Readonly<Record<string, Content>>,
): Promise<void> {
  const manifests = Object.entries(contents).map(([tag, { descriptor }]) => ({
    ...descriptor,
    annotations: { 'org.opencontainers.image.ref.name': tag },
  }))
  for (const content of Object.values(contents)) await writeContent(dir, content)
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests }
  await writeFile(join(dir, 'index.json'), JSON.stringify(index))
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
}

/**
 * Writes what skopeo reads as `dir:dir`. An image layout cannot hold Docker's media types: skopeo
 * does not find them there.
 */
export async function writeSkopeoDir(
  dir: string,
  content: Content,
  isChild = false,
): Promise<void> {
  const { manifest, children, blobs } = content
  for (const child of children) await writeSkopeoDir(dir, child, true)
  const name = isChild ? `${encodedOf(manifest.digest)}.manifest.json` : 'manifest.json'
  await writeFile(join(dir, name), manifest.bytes)
  for (const [digest, bytes] of blobs) await writeFile(join(dir, encodedOf(digest)), bytes)
  await writeFile(join(dir, 'version'), 'Directory Transport Version: 1.1\n')
}

async function writeContent(dir: string, content: Content): Promise<void> {
  for (const child of content.children) await writeContent(dir, child)
  await writeBlob(dir, content.manifest.digest, content.manifest.bytes)
  for (const [digest, bytes] of content.blobs) await writeBlob(dir, digest, bytes)
}

async function writeBlob(dir: string, digest: Digest, bytes: Buffer): Promise<void> {
  const folder = join(dir, 'blobs', algorithmOf(digest))
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, encodedOf(digest)), bytes)
}
