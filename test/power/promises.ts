import type { Digest } from '../../src/oci/digest.ts'
import type { Change, Mark, Meaning } from './marks.ts'

export interface Promised {
  /** One while it is acknowledged, more while it is being changed. */
  readonly may: ReadonlySet<Meaning>
  readonly content: readonly Digest[]
}

/** What a start after a loss of power has to find, as the victim's marks say it. */
export class Promises {
  /** Acknowledged and not given up since. */
  readonly blobs = new Set<Digest>()
  /** The workload has written into them: what their files hold is not known. */
  readonly damaged = new Set<Digest>()
  readonly everDamaged = new Set<Digest>()
  readonly tags = new Map<string, Promised>()
  readonly pins = new Map<string, Promised>()

  take(mark: Mark): void {
    switch (mark.kind) {
      case 'stored':
        this.blobs.add(mark.digest)
        this.damaged.delete(mark.digest)
        return
      case 'leaving':
        this.blobs.delete(mark.digest)
        this.#tagsMayGoWith(mark.digest)
        return
      case 'damaged':
        this.blobs.delete(mark.digest)
        this.damaged.add(mark.digest)
        this.everDamaged.add(mark.digest)
        return
      case 'tag':
        change(this.tags, mark)
        return
      case 'pin':
        change(this.pins, mark)
        return
      default:
        mark satisfies never
    }
  }

  #tagsMayGoWith(digest: Digest): void {
    for (const [name, { may, content }] of this.tags) {
      if (may.has(digest)) this.tags.set(name, { may: new Set([...may, null]), content })
    }
  }
}

function change(all: Map<string, Promised>, { name, meaning, isDone, content = [] }: Change): void {
  const before = all.get(name)?.may ?? [null]
  all.set(name, { may: new Set(isDone ? [meaning] : [...before, meaning]), content })
}
