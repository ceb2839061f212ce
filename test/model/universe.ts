import type { Digest } from '../../src/oci/digest.ts'
import { type BuiltManifest, buildImage, buildIndex, type Content } from '../support/images.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** From nothing to what has three chunks; most are small, as a run has many. */
const LAYERS = [0, 1, 777, 20 * KIB, 150 * KIB, MIB + 17, 2 * MIB + 300 * KIB] as const
/** Which layers each image has: neighbours share one. */
const IMAGES = [
  [0, 2],
  [2, 3],
  [3, 4],
  [1, 5],
  [4, 6],
] as const

export const REPOSITORIES = ['library/app', 'team/tool'] as const
export const TAGS = ['v1', 'v2', 'latest'] as const

/** Everything that any registry of a run may have: the true bytes of each digest. */
export class Universe {
  /** Images, and last an index of the first two. */
  readonly contents: readonly Content[]
  readonly manifests = new Map<Digest, BuiltManifest>()
  readonly blobs = new Map<Digest, Buffer>()
  readonly blobDigests: readonly Digest[]

  constructor() {
    const images = IMAGES.map((layers, i) =>
      buildImage({ seed: `model-${i}`, layers: layers.map((layer) => LAYERS[layer]) }),
    )
    this.contents = [...images, buildIndex(images.slice(0, 2))]
    for (const { manifest, blobs } of this.contents) {
      this.manifests.set(manifest.digest, manifest)
      for (const [digest, bytes] of blobs) this.blobs.set(digest, bytes)
    }
    this.blobDigests = [...this.blobs.keys()]
  }

  content(index: number): Content {
    return at(this.contents, index)
  }

  blob(index: number): Digest {
    return at(this.blobDigests, index)
  }

  bytesOf(digest: Digest): Buffer {
    const bytes = this.manifests.get(digest)?.bytes ?? this.blobs.get(digest)
    if (bytes === undefined) throw new Error(`there is no ${digest}`)
    return bytes
  }

  /** It, and all that it lists, and what that lists. */
  reach(digest: Digest): readonly Digest[] {
    const content = this.contents.find(({ manifest }) => manifest.digest === digest)
    if (content === undefined) return [digest]
    const children = content.children.map(({ manifest }) => manifest.digest)
    return [digest, ...children, ...content.blobs.keys()]
  }

  childrenOf(digest: Digest): readonly Content[] {
    return this.contents.find(({ manifest }) => manifest.digest === digest)?.children ?? []
  }
}

/** The element that any number means. */
export function at<T>(list: readonly T[], index: number): T {
  const found = list[index % list.length]
  if (found === undefined) throw new Error('the list is empty')
  return found
}
