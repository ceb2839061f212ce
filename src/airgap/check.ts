import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Platforms } from '../oci/platform.ts'
import { type Image, type ResolveTarget, resolveImage } from './image.ts'
import type { MissingContent, Surveyor } from './survey.ts'

export interface CheckRequest {
  /** As people write them. */
  readonly images: readonly string[]
  /** `undefined`: those of each image's upstream. */
  readonly platforms: Platforms | undefined
  readonly referrers: boolean
  /** Whether the bytes are read and hashed, and not only looked for. */
  readonly hash: boolean
}

export interface CheckedImage {
  readonly image: string
  /** Whether exactly this can be pulled without a network. */
  readonly complete: boolean
  /** What the reference means here; `undefined`: nothing. */
  readonly digest: Digest | undefined
  readonly missing: readonly MissingContent[]
  /** Bytes, as far as they are known, of what is missing. */
  readonly missingBytes: number
  /** Of what is here. */
  readonly bytes: number
  /** Why not, where it is not a matter of content. */
  readonly reason: string | undefined
}

export interface CheckResult {
  readonly images: number
  readonly complete: number
  readonly incomplete: number
  /** Each content once. */
  readonly missingBytes: number
  readonly bytes: number
}

export interface CheckOptions {
  readonly surveyor: Surveyor
  readonly resolve: ResolveTarget
  /** Why nobody could read the image without a network, though all of it is here. */
  readonly obstacle: (image: Image) => Promise<string | undefined>
  /** Until it settles it is not known what is here. */
  readonly ready: Promise<unknown>
  /** Whether stored bytes are right; what is wrong is put aside. */
  readonly hash: (digest: Digest, signal: AbortSignal) => Promise<boolean>
}

/** Can exactly this be pulled here without a network? Walks every image to its last layer. */
export class Check {
  readonly #options: CheckOptions

  constructor(options: CheckOptions) {
    this.#options = options
  }

  async run(
    request: CheckRequest,
    onImage: (checked: CheckedImage) => void,
    signal: AbortSignal,
  ): Promise<CheckResult> {
    await this.#options.ready.catch(() => undefined)
    const sums = new Sums()
    for (const text of request.images) {
      signal.throwIfAborted()
      const checked = await this.#check(text, request, sums, signal)
      sums.count(checked)
      onImage(checked)
    }
    return sums.result
  }

  async #check(
    text: string,
    request: CheckRequest,
    sums: Sums,
    signal: AbortSignal,
  ): Promise<CheckedImage> {
    const { resolve, surveyor } = this.#options
    try {
      const image = resolveImage(text, resolve)
      const digest = await surveyor.digestOf(image.place, image.reference)
      if (digest === undefined) return incomplete(image.name, 'not here')
      return await this.#survey(image, digest, request, sums, signal)
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      return incomplete(text, error.message)
    }
  }

  async #survey(
    image: Image,
    digest: Digest,
    { platforms, referrers, hash }: CheckRequest,
    sums: Sums,
    signal: AbortSignal,
  ): Promise<CheckedImage> {
    const { surveyor, obstacle } = this.#options
    const survey = await surveyor.survey({
      place: image.place,
      digest,
      platforms: platforms ?? image.platforms,
      referrers,
      signal,
      ...(hash
        ? { hash: (one: Digest) => sums.hashed(one, () => this.#options.hash(one, signal)) }
        : {}),
    })
    const { missing, here, notFor } = survey
    sums.add(survey)
    const reason = notFor ?? (await obstacle(image))
    return {
      image: image.name,
      complete: missing.length === 0 && reason === undefined,
      digest,
      missing,
      missingBytes: missing.reduce((sum, { size }) => sum + Math.max(0, size), 0),
      bytes: here.reduce((sum, { size }) => sum + size, 0),
      reason,
    }
  }
}

/** What images share counts once, and is read once. */
class Sums {
  #images = 0
  #complete = 0
  readonly #here = new Map<Digest, number>()
  readonly #missing = new Map<Digest, number>()
  readonly #hashed = new Map<Digest, Promise<boolean>>()

  count({ complete }: CheckedImage): void {
    this.#images++
    if (complete) this.#complete++
  }

  add({ here, missing }: { readonly here: readonly Sized[]; readonly missing: readonly Sized[] }) {
    for (const { digest, size } of here) this.#here.set(digest, size)
    for (const { digest, size } of missing) this.#missing.set(digest, Math.max(0, size))
  }

  hashed(digest: Digest, hash: () => Promise<boolean>): Promise<boolean> {
    const hashed = this.#hashed.get(digest) ?? hash()
    this.#hashed.set(digest, hashed)
    return hashed
  }

  get result(): CheckResult {
    return {
      images: this.#images,
      complete: this.#complete,
      incomplete: this.#images - this.#complete,
      missingBytes: sum(this.#missing.values()),
      bytes: sum(this.#here.values()),
    }
  }
}

interface Sized {
  readonly digest: Digest
  readonly size: number
}

function sum(values: Iterable<number>): number {
  return Iterator.from(values).reduce((total, value) => total + value, 0)
}

function incomplete(image: string, reason: string): CheckedImage {
  return {
    image,
    complete: false,
    digest: undefined,
    missing: [],
    missingBytes: 0,
    bytes: 0,
    reason,
  }
}
