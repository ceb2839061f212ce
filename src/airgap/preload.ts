import PQueue from 'p-queue'

import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Platforms } from '../oci/platform.ts'
import { failureOf, type PreloadFailure } from './failure.ts'
import { Holds } from './holds.ts'
import { type Image, type ResolveTarget, resolveImage } from './image.ts'
import { Patience, type PatienceOptions } from './patience.ts'
import { PreloadImage, type PreloadImageOptions, requireWhole } from './preload-image.ts'
import { type ContentTotals, Progress, type ProgressReport } from './progress.ts'

export interface PreloadRequest {
  /** As people write them. */
  readonly images: readonly string[]
  /** `undefined`: those of each image's upstream. */
  readonly platforms: Platforms | undefined
  /** Whether what points at the images, such as signatures, comes too. */
  readonly referrers: boolean
  /** How the images are pinned; `undefined`: they are not. */
  readonly pin: PreloadPin | undefined
  /** Contents fetched at a time. */
  readonly parallel: number
  /** Only manifests are fetched, to say what the rest would be. */
  readonly dryRun: boolean
  /** How long one registry may put us off, in milliseconds. */
  readonly patienceMs: number
}

export interface PreloadPin {
  readonly owner: string
  /** Whether a pin moves with its tag. */
  readonly follows: boolean
}

export type PreloadEvent =
  /** How many images the sources of a job name, and what of them could not be read. */
  | { readonly kind: 'sources'; readonly images: number; readonly problems: readonly string[] }
  | ({ readonly kind: 'image' } & PreloadedImage)
  | ({ readonly kind: 'progress' } & ProgressReport)

/** How it stands with one image. */
export interface PreloadedImage {
  readonly image: string
  /** `unchanged`: all of it was here. */
  readonly state: 'fetching' | 'done' | 'unchanged' | 'failed'
  readonly digest?: Digest | undefined
  /** Bytes of all that it needs. */
  readonly bytes?: number
  /** Of those, what was not here before, or in a dry run is not here. */
  readonly fetchedBytes?: number
  /** Why its tag could not be looked up: it is what it was when that was last possible. */
  readonly warning?: string | undefined
  readonly failure?: PreloadFailure
}

export interface PreloadResult extends ContentTotals {
  readonly done: number
  readonly unchanged: number
  readonly failed: number
}

export interface PreloadOptions
  extends Omit<PreloadImageOptions, 'run'>,
    Omit<PatienceOptions, 'waitMs'> {
  readonly resolve: ResolveTarget
  /** Until it settles it is not known what is here. */
  readonly ready: Promise<unknown>
  /** Told of each that is no dry run. What it gives back is told of its end, once. */
  readonly onBegan?: () => (result?: PreloadResult) => void
}

/** Images looked at at a time. What they need is fetched in one line for all of them. */
const IMAGES_AT_A_TIME = 8
const PROGRESS_MS = 250

type OnEvent = (event: PreloadEvent) => void

/** Has everything that images reach fetched, verified and kept, as nodes would pull it. */
export class Preload {
  readonly #options: PreloadOptions

  constructor(options: PreloadOptions) {
    this.#options = options
  }

  /**
   * What fails is told of, and the others go on.
   *
   * @throws the signal's reason, and what is no fault of any image
   */
  async run(
    request: PreloadRequest,
    onEvent: OnEvent,
    signal: AbortSignal,
  ): Promise<PreloadResult> {
    const { elapsed, ready } = this.#options
    await ready.catch(() => undefined)
    const { images, failed } = this.#resolveAll(request.images)
    const progress = new Progress(images.length + failed.length, elapsed)
    const run = new PreloadRun(this.#options, request, progress, onEvent, signal)
    for (const one of failed) run.end(one)
    const onEnded = request.dryRun ? undefined : this.#options.onBegan?.()
    let result: PreloadResult | undefined
    try {
      result = await run.run(images)
      return result
    } finally {
      onEnded?.(result)
    }
  }

  /** What is the same, however it is written, is one. */
  #resolveAll(texts: readonly string[]) {
    const images = new Map<string, Image>()
    const failed = new Map<string, PreloadedImage>()
    for (const text of texts) {
      try {
        const image = resolveImage(text, this.#options.resolve)
        images.set(image.name, image)
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error
        const { code, message } = error
        failed.set(text, { image: text, state: 'failed', failure: { code, message } })
      }
    }
    return { images: [...images.values()], failed: [...failed.values()] }
  }
}

/** One run: its line of contents, what it holds, and what has become of its images. */
class PreloadRun {
  readonly #options: PreloadOptions
  readonly #request: PreloadRequest
  readonly #progress: Progress
  readonly #onEvent: OnEvent
  readonly #signal: AbortSignal
  /** Ends what goes on when one has met what is no fault of an image. */
  readonly #stop = new AbortController()
  readonly #contents: PQueue
  readonly #one: PreloadImage
  readonly #ended = new Map<string, PreloadedImage>()
  /** To the end of the run, so that no image of it is evicted for a later one. */
  readonly #holds: Holds

  constructor(
    options: PreloadOptions,
    request: PreloadRequest,
    progress: Progress,
    onEvent: OnEvent,
    signal: AbortSignal,
  ) {
    this.#options = options
    this.#request = request
    this.#progress = progress
    this.#onEvent = onEvent
    this.#signal = AbortSignal.any([signal, this.#stop.signal])
    this.#contents = new PQueue({ concurrency: request.parallel })
    this.#holds = new Holds(options.leases)
    const patience = new Patience({ ...options, waitMs: request.patienceMs })
    const run = {
      request,
      progress,
      patience,
      queue: this.#contents,
      under: new Map(),
      signal: this.#signal,
      hold: (digest: Digest) => this.#holds.hold(digest),
    }
    this.#one = new PreloadImage({ ...options, run })
  }

  async run(images: readonly Image[]): Promise<PreloadResult> {
    const queue = new PQueue({ concurrency: IMAGES_AT_A_TIME })
    const timer = setInterval(() => this.#tell(), PROGRESS_MS)
    try {
      await queue.addAll(images.map((image) => () => this.#preload(image)))
      await this.#lookAgain(images)
      this.#tell()
      return this.#result
    } catch (error) {
      this.#stop.abort(error)
      throw error
    } finally {
      clearInterval(timer)
      await queue.onIdle()
      await this.#contents.onIdle()
      await this.#holds.release()
    }
  }

  end(preloaded: PreloadedImage): void {
    if (!this.#ended.has(preloaded.image)) this.#progress.ended()
    this.#ended.set(preloaded.image, preloaded)
    this.#onEvent({ kind: 'image', ...preloaded })
  }

  async #preload(image: Image): Promise<void> {
    const { name } = image
    this.#signal.throwIfAborted()
    this.#onEvent({ kind: 'image', image: name, state: 'fetching' })
    await this.#attempt(name, async () => {
      // A reload may have come since: its upstream may be another now, or none.
      const current = resolveImage(name, this.#options.resolve)
      const { isUnchanged, ...done } = await this.#one.run(current)
      this.end({ image: name, state: isUnchanged ? 'unchanged' : 'done', ...done })
    })
  }

  /** What was here when its image had come may have gone since: a purge, or a file by hand. */
  async #lookAgain(images: readonly Image[]): Promise<void> {
    if (this.#request.dryRun) return
    for (const image of images) {
      const ended = this.#ended.get(image.name)
      if (ended?.digest === undefined || ended.state === 'failed') continue
      const { digest } = ended
      await this.#attempt(image.name, async () => {
        requireWhole(await this.#one.survey(image, digest))
      })
    }
  }

  async #attempt(image: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#signal.throwIfAborted()
      const failure = failureOf(error)
      if (failure === undefined) throw error
      this.end({ image, state: 'failed', failure })
    }
  }

  #tell(): void {
    this.#onEvent({ kind: 'progress', ...this.#progress.report() })
  }

  get #result(): PreloadResult {
    const counts = { done: 0, unchanged: 0, failed: 0 }
    for (const { state } of this.#ended.values()) if (state !== 'fetching') counts[state]++
    return { ...counts, ...this.#progress.totals }
  }
}
