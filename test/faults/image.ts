import type { Site } from '../pull/site.ts'
import { buildImage, type Image } from '../support/images.ts'

/** Where the image is that {@link putImage} puts. */
export const TAG = '/v2/acme/app/manifests/v1'

/** An image in the registry, of one layer, with the tag `v1`. */
export function putImage({ registry }: Pick<Site, 'registry'>, layer: Buffer | number = 1024) {
  const image: Image = buildImage({ seed: 'fault', layers: [layer] })
  registry.add('acme/app', image, 'v1')
  const { manifest, layers } = image
  const [{ digest } = manifest] = layers
  const bytes = image.blobs.get(digest) ?? Buffer.alloc(0)
  const paths = {
    byDigest: `/v2/acme/app/manifests/${manifest.digest}`,
    layer: `/v2/acme/app/blobs/${digest}`,
  }
  return { manifest, layer: { digest, bytes, path: paths.layer }, byDigest: paths.byDigest }
}
