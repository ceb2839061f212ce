import type { Digest } from '../../src/oci/digest.ts'
import type { Random } from '../soak/random.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { cut, drip, hangUp } from '../support/faults.ts'
import { buildImage, type Image, seededBytes } from '../support/images.ts'

export const REPOSITORY = 'library/app'
export const UPSTREAM = 'docker.io'

const KIB = 1024
const SMALL_IMAGES = 9
const LARGE_IMAGES = 3
const TAGS = 6
const SHARED_LAYERS = 3
const DRIP_BYTES = 16 * KIB
const BLOBS = { method: 'GET', path: /\/blobs\// }

/** A registry whose content never changes, but for where its tags point. */
export class World {
  readonly registry = new FaultRegistry()
  readonly images: readonly Image[]
  /** They fit into the store together, so that any of them may be pinned. */
  readonly small: readonly Image[]
  readonly tags: readonly string[] = Array.from({ length: TAGS }, (_, i) => `v${i}`)
  /** Every content by its digest, manifests too. */
  readonly contents: ReadonlyMap<string, Buffer>
  readonly #history = new Map<string, Digest[]>()

  constructor(seed: number, random: Random) {
    const sizes = [
      ...Array.from({ length: SMALL_IMAGES }, () => 1 + random.below(48 * KIB)),
      ...Array.from({ length: LARGE_IMAGES }, () => 1024 * KIB + random.below(640 * KIB)),
    ]
    this.images = sizes.map((size, i) => {
      const shared = seededBytes(`${seed}/shared/${i % SHARED_LAYERS}`, 24 * KIB)
      return buildImage({ seed: `${seed}/${i}`, layers: [shared, size] })
    })
    this.small = this.images.slice(0, SMALL_IMAGES)
    for (const image of this.images) this.registry.add(REPOSITORY, image)
    for (const tag of this.tags) this.move(tag, random)
    this.contents = new Map(
      this.images.flatMap(({ manifest, blobs }) => [
        [manifest.digest, manifest.bytes] as const,
        ...blobs,
      ]),
    )
  }

  imageOf(digest: string): Image {
    const image = this.images.find(({ manifest }) => manifest.digest === digest)
    if (image === undefined) throw new Error(`${digest} is none of the images`)
    return image
  }

  /** Points a tag at a small image. */
  move(tag: string, random: Random): void {
    const digest = this.registry.add(REPOSITORY, random.pick(this.small), tag)
    this.#history.set(tag, [...this.hasMeant(tag), digest])
  }

  /** All that a tag has pointed at, the oldest first. */
  hasMeant(tag: string): readonly Digest[] {
    return this.#history.get(tag) ?? []
  }

  /** Some download breaks off, or takes its time. */
  misbehave(random: Random): void {
    const fault = random.below(2) === 0 ? cut(random.below(600 * KIB), 'rst') : drip(DRIP_BYTES)
    this.registry.script(BLOBS, fault, { times: 1, skip: random.below(3) })
  }

  behave(): void {
    this.registry.forget()
    this.registry.clearScripts()
  }

  /** Nobody answers any more. */
  switchOff(): void {
    this.registry.clearScripts()
    this.registry.script({}, hangUp('rst'))
  }
}
