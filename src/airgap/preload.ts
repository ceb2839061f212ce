import PQueue from 'p-queue'

import type { Digest } from '../oci/digest.ts'
import { type ErrorCode, RegistryError } from '../oci/errors.ts'
import type { Platforms } from '../oci/platform.ts'
import { type Image, type ResolveTarget, resolveImage } from './image.ts'
import { type ImageDone, PreloadImage, type PreloadImageOptions } from './preload-image.ts'
import { Progress, type ProgressReport } from './progress.ts'

export interface PreloadRequest {
  /** As people write them. */
  readonly images: readonly string[]
  /** `undefined`: those of each image's upstream. */
  readonly platforms: Platforms | undefined
  /** Whether what points at the images, such as signatures, comes too. */
  readonly referrers: boolean
  /** As whose the images are pinned; `undefined`: they are not. */
  readonly pinAs: string | undefined
  /** Contents fetched at a time. */
  readonly parallel: number
  /** Only manifests are fetched, to say what the rest would be. */
  readonly dryRun: boolean
}

export type PreloadEvent =
  | ({ readonly kind: 'image' } & PreloadedImage)
  | ({ readonly kind: 'progress' } & ProgressReport)

/** How it stands with one image. */
export interface PreloadedImage {
  readonly image: string
  /** `unchanged`: all of it was here. */
  readonly state: 'fetching' | 'done' | 'unchanged' | 'failed'
  readonly digest?: Digest | undefined
  /** Bytes of all that it needs; of a failed one, as far as that is known. */
  readonly bytes?: number
  /** Of those, what was not here before, or in a dry run is not here. */
  readonly fetchedBytes?: number
  readonly failure?: PreloadFailure
}

export interface PreloadFailure {
  readonly code: ErrorCode | 'NO_ROOM' | 'NOT_PUBLIC'
  readonly message: string
}

export interface PreloadResult {
  readonly done: number
  readonly unchanged: number
  readonly failed: number
  /** From registries, or in a dry run what would be; each content once. */
  readonly fetchedBytes: number
  /** What was here already; each content once. */
  readonly hereBytes: number
}

export interface PreloadOptions extends Omit<PreloadImageOptions, 'queue'> {
  readonly resolve: ResolveTarget
}

/** Images looked at at a time. What they need is fetched in one line for all of them. */
const IMAGES_AT_A_TIME = 4
const PROGRESS_MS = 250

/** Has everything that images reach fetched, verified and kept, as nodes would pull it. */
export class Preload {
  readonly #options: PreloadOptions

  constructor(options: PreloadOptions) {
    this.#options = options
  }

  /** What fails is told of, and the others go on. @throws the signal's reason */
  async run(
    request: PreloadRequest,
    onEvent: (event: PreloadEvent) => void,
    signal: AbortSignal,
  ): Promise<PreloadResult> {
    const texts = [...new Set(request.images)]
    const progress = new Progress(texts.length)
    const contents = new PQueue({ concurrency: request.parallel })
    const images = new PQueue({ concurrency: IMAGES_AT_A_TIME })
    const one = new PreloadImage({ ...this.#options, queue: contents })
    const timer = setInterval(
      () => onEvent({ kind: 'progress', ...progress.report() }),
      PROGRESS_MS,
    )
    try {
      const run = async (text: string) => {
        const preloaded = await this.#preload(text, one, request, progress, onEvent, signal)
        progress.ended(preloaded)
        onEvent({ kind: 'image', ...preloaded })
      }
      await images.addAll(texts.map((text) => () => run(text)))
      return progress.result
    } finally {
      clearInterval(timer)
      await contents.onIdle()
    }
  }

  async #preload(
    text: string,
    one: PreloadImage,
    request: PreloadRequest,
    progress: Progress,
    onEvent: (event: PreloadEvent) => void,
    signal: AbortSignal,
  ): Promise<PreloadedImage> {
    signal.throwIfAborted()
    let image: Image | undefined
    try {
      image = resolveImage(text, this.#options.resolve)
      onEvent({ kind: 'image', image: image.name, state: 'fetching' })
      const { isUnchanged, ...done } = await one.run(image, request, progress, signal)
      return { image: image.name, state: isUnchanged ? 'unchanged' : 'done', ...summaryOf(done) }
    } catch (error) {
      signal.throwIfAborted()
      const failure = failureOf(error)
      if (failure === undefined) throw error
      return { image: image?.name ?? text, state: 'failed', failure }
    }
  }
}

/** An image that cannot be had whole, though no registry has refused any of it. */
export class PreloadError extends Error {
  override readonly name = 'PreloadError'
  readonly code: 'NO_ROOM' | 'NOT_PUBLIC'

  constructor(code: PreloadError['code'], message: string) {
    super(message)
    this.code = code
  }
}

function summaryOf({ digest, bytes, fetchedBytes }: Omit<ImageDone, 'isUnchanged'>) {
  return { digest, bytes, fetchedBytes }
}

function failureOf(error: unknown): PreloadFailure | undefined {
  if (!(error instanceof RegistryError) && !(error instanceof PreloadError)) return undefined
  const { code, message } = error
  return { code, message }
}
