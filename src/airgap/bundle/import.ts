import type { Digest } from '../../oci/digest.ts'
import type { Damage } from '../../store/damage.ts'
import type { FailAt } from '../../store/failpoints.ts'
import type { Leases } from '../../store/leases.ts'
import type { BlobStore } from '../../store/ports.ts'
import { readArchive } from './archive.ts'
import type { Bundle } from './bundle.ts'
import { bySubject, type Candidates, findCandidates } from './candidates.ts'
import { ArchiveError } from './errors.ts'
import { Intake } from './intake.ts'
import type { ImageName } from './naming.ts'
import {
  contentsOf,
  type ImportedImage,
  type PlanContext,
  type PlannedImage,
  Publisher,
  type PublisherOptions,
} from './publisher.ts'
import { WholeImages } from './whole-image.ts'

export interface ImportRequest {
  /** Where images belong that do not say so themselves. */
  readonly fallback: ImageName | undefined
  readonly pin: boolean
  /** Everything is read and looked at, and nothing is stored. */
  readonly dryRun: boolean
}

export type ImportEvent =
  | { readonly kind: 'progress'; readonly bytes: number; readonly blobs: number }
  | ({ readonly kind: 'image' } & ImportedImage)
  | { readonly kind: 'warning'; readonly message: string }

export interface ImportResult {
  readonly images: {
    readonly published: number
    readonly unchanged: number
    readonly refused: number
  }
  /** Bytes of contents in the archive. */
  readonly bytes: number
  /** Of them, what was not here before and stays. */
  readonly addedBytes: number
  readonly addedBlobs: number
}

export interface ImportOptions extends Omit<PublisherOptions, 'failAt'> {
  readonly blobs: Pick<BlobStore, 'stage' | 'stat' | 'read'>
  readonly damage: Pick<Damage, 'report'>
  readonly leases: Pick<Leases, 'hold'>
  /** What nothing of the catalog names, and nobody holds. */
  readonly remove: (digest: Digest, size: number) => Promise<void>
  /** They are whole, and of no image yet: for an import that is repeated. */
  readonly keep: (contents: readonly StoredContent[]) => Promise<void>
  /** Whether an error means that there is no room. */
  readonly isNoRoom: (error: unknown) => boolean
  readonly failAt?: FailAt | undefined
}

export interface StoredContent {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
}

/**
 * Archives of images into the store, as they come. Every content is hashed to its digest, no name of
 * an archive is ever a path, and an image is published only when all that it needs is here.
 */
export class Import {
  readonly #options: ImportOptions

  constructor(options: ImportOptions) {
    this.#options = options
  }

  /**
   * An archive that is refused leaves nothing; what was whole when an import was interrupted stays,
   * for its repetition.
   *
   * @param body a plain tar
   * @throws {ArchiveError} the archive is damaged, or made to do harm
   * @throws what reading `body` or storing fails with; the signal's reason
   */
  async run(
    body: AsyncIterable<Uint8Array>,
    request: ImportRequest,
    onEvent: (event: ImportEvent) => void,
    signal: AbortSignal,
  ): Promise<ImportResult> {
    const run = new Run(this.#options, request, onEvent, signal)
    let published: ReadonlySet<Digest> | 'interrupted' = new Set()
    try {
      const result = await run.read(body)
      published = run.published
      return result
    } catch (error) {
      const isRefused = error instanceof ArchiveError || this.#options.isNoRoom(error)
      if (!isRefused) published = 'interrupted'
      else published = run.published
      throw error
    } finally {
      await run.end(published)
    }
  }
}

class Run {
  readonly #options: ImportOptions
  readonly #request: ImportRequest
  readonly #onEvent: (event: ImportEvent) => void
  readonly #signal: AbortSignal
  readonly #intake: Intake
  readonly #whole: WholeImages
  readonly #publisher: Publisher
  readonly #images = { published: 0, unchanged: 0, refused: 0 }
  readonly #published = new Set<Digest>()
  #bytes = 0

  constructor(
    options: ImportOptions,
    request: ImportRequest,
    onEvent: (event: ImportEvent) => void,
    signal: AbortSignal,
  ) {
    const { blobs, damage, leases, failAt } = options
    this.#options = options
    this.#request = request
    this.#onEvent = onEvent
    this.#signal = signal
    const onBytes = (bytes: number) => this.#came(bytes)
    this.#intake = new Intake({ blobs, damage, leases, isDry: request.dryRun, onBytes, failAt })
    this.#whole = new WholeImages(this.#intake)
    this.#publisher = new Publisher(options)
  }

  /** Contents of images that are published. */
  get published(): ReadonlySet<Digest> {
    return this.#published
  }

  async read(body: AsyncIterable<Uint8Array>): Promise<ImportResult> {
    const onBundle = (bundle: Bundle) => this.#lookForBase(bundle)
    const archive = await readArchive(body, this.#intake, onBundle)
    this.#signal.throwIfAborted()
    const { fallback } = this.#request
    const options = { archive, intake: this.#intake, whole: this.#whole, fallback }
    const candidates = await findCandidates(options)
    if (candidates.images.length + candidates.incomplete.length === 0) {
      throw new ArchiveError('the archive has no image in it')
    }
    const referrers = await bySubject(candidates.unnamed, this.#whole)
    const context = { whole: this.#whole, bundle: archive.bundle, referrers }
    await this.#publishAll(candidates, context)
    return this.#result()
  }

  /** @param published what stays for certain; of an import that was interrupted all stays */
  async end(published: ReadonlySet<Digest> | 'interrupted'): Promise<void> {
    await this.#intake.end()
    const { remove, keep } = this.#options
    const added = [...this.#intake.added].map(([digest, size]) => ({ digest, size }))
    if (published === 'interrupted') return await keep(added)
    for (const { digest, size } of added) if (!published.has(digest)) await remove(digest, size)
  }

  /** Who would wait an hour to hear that another medium comes first? */
  async #lookForBase({ base }: Bundle): Promise<void> {
    if (base === undefined) return
    let missing = 0
    for (const digest of base.blobs) {
      if ((await this.#intake.sizeOf(digest)) === undefined) missing++
    }
    if (missing === 0) return
    const of = new Date(base.contentAt).toISOString()
    const which = `bundle ${base.id} (content of ${of})`
    this.#warn(`this bundle builds on ${which}, of which ${missing} contents are not here`)
  }

  /** Everything is looked at before anything is published: an archive that lies publishes nothing. */
  async #publishAll(candidates: Candidates, context: PlanContext): Promise<void> {
    const planned: PlannedImage[] = []
    const refused: ImportedImage[] = []
    for (const candidate of candidates.images) {
      this.#signal.throwIfAborted()
      const { text: image, root } = candidate
      const plan = await this.#publisher.plan(candidate, context)
      if (typeof plan !== 'string') planned.push(plan)
      else refused.push({ image, digest: root.digest, state: 'refused', reason: plan })
    }
    for (const plan of planned) await this.#publish(plan)
    for (const image of refused) this.#ended(image)
    for (const { text, reason } of candidates.incomplete) {
      this.#ended({ image: text, digest: undefined, state: 'refused', reason })
    }
    this.#explain(planned)
  }

  async #publish(plan: PlannedImage): Promise<void> {
    this.#signal.throwIfAborted()
    const { pin, dryRun } = this.#request
    const { text: image, root } = plan.candidate
    const { added } = this.#intake
    const isUnchanged = await this.#publisher.isUnchanged(plan, added)
    let reason: string | undefined
    if (!isUnchanged && !dryRun) {
      reason = await this.#publisher.run(plan, new Set(added.keys()))
    }
    for (const { digest } of contentsOf(plan.whole)) this.#published.add(digest)
    if (pin && !dryRun) await this.#publisher.pin(plan)
    const obstacle = dryRun ? undefined : await this.#publisher.obstacle(plan)
    if (obstacle !== undefined) this.#warn(obstacle)
    const isKept = isUnchanged || reason !== undefined
    const state = isKept ? 'unchanged' : 'published'
    this.#ended({ image, digest: root.digest, state, reason })
  }

  #ended(image: ImportedImage): void {
    this.#images[image.state]++
    this.#onEvent({ kind: 'image', ...image })
  }

  /** What is not as whoever brought it may think. */
  #explain(planned: readonly PlannedImage[]): void {
    for (const { candidate, whole } of planned) {
      const { chosen, here } = whole.parts
      if (here < chosen) this.#warn(`${candidate.text} has ${here} of its ${chosen} platforms here`)
    }
    const made = planned.filter(({ candidate }) => candidate.isSynthesised).length
    if (made === 0) return
    this.#warn(
      `${made} of the images came without the manifest of their registry, as docker save writes ` +
        'them: their digests are not those of the registry, so that a pull by its digest does not ' +
        'find them, and where it can be asked their tags are replaced by what it says',
    )
  }

  #warn(message: string): void {
    this.#onEvent({ kind: 'warning', message })
  }

  #came(bytes: number): void {
    this.#signal.throwIfAborted()
    this.#bytes += bytes
    this.#onEvent({ kind: 'progress', bytes: this.#bytes, blobs: this.#intake.count })
  }

  #result(): ImportResult {
    const added = [...this.#intake.added].filter(([digest]) => this.#published.has(digest))
    return {
      images: this.#images,
      bytes: this.#bytes,
      addedBytes: added.reduce((sum, [, size]) => sum + size, 0),
      addedBlobs: added.length,
    }
  }
}
