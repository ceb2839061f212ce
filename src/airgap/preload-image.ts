import type PQueue from 'p-queue'

import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { type Manifest, parseManifest } from '../oci/manifest.ts'
import type { Reference } from '../oci/reference.ts'
import type { Blobs } from '../pull/blobs.ts'
import type { Lists } from '../pull/lists.ts'
import type { Manifests } from '../pull/manifests.ts'
import type { Pull } from '../pull/pull.ts'
import type { Place } from '../store/ports.ts'
import type { Image } from './image.ts'
import { PreloadError, type PreloadRequest } from './preload.ts'
import type { Progress } from './progress.ts'
import { cosignTags, type Survey, type Surveyor } from './survey.ts'
import { type Reached, type WalkDescriptor, type WalkSource, walk } from './walk.ts'

export interface PreloadImageOptions {
  readonly manifests: Pick<Manifests, 'get'>
  readonly blobs: Pick<Blobs, 'obtain'>
  readonly lists: Pick<Lists, 'referrers'>
  readonly surveyor: Surveyor
  /** Why nobody could read the image here, whatever is fetched; asks its registry, if need be. */
  readonly obstacle: (image: Image, signal: AbortSignal) => Promise<string | undefined>
  readonly pin: (place: Place, reference: Reference, owner: string) => Promise<void>
  /** Keeps it from being removed. @returns what gives it back */
  readonly hold: (digest: Digest) => () => void
  /** Where contents wait for their turn. */
  readonly queue: PQueue
}

export interface ImageDone {
  readonly digest: Digest
  /** Bytes of all that the image needs. */
  readonly bytes: number
  readonly fetchedBytes: number
  /** All of it was here. */
  readonly isUnchanged: boolean
}

/** One image, from its reference to its last layer. */
export class PreloadImage {
  readonly #options: PreloadImageOptions

  constructor(options: PreloadImageOptions) {
    this.#options = options
  }

  /**
   * @throws {RegistryError} the first refusal, once everything else that can be had is here
   * @throws {PreloadError}
   */
  async run(
    image: Image,
    request: PreloadRequest,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<ImageDone> {
    const { manifests, obstacle, pin } = this.#options
    const problem = await obstacle(image, signal)
    if (problem !== undefined) throw new PreloadError('NOT_PUBLIC', problem)
    const pull = pullOf(image, signal)
    const { digest } = await manifests.get(pull, image.reference)
    const run = new Run(this.#options, image, request, progress, pull)
    try {
      const before = await run.survey(digest)
      // What points at an image may have come since, and only its registry knows.
      const isWhole = before.missing.length === 0 && !request.referrers
      const fetchedBytes = isWhole ? run.allHere(before) : await run.fetch(digest)
      const after = isWhole || request.dryRun ? before : await run.survey(digest)
      if (!request.dryRun) requireWhole(after)
      if (request.pinAs !== undefined && !request.dryRun) {
        await pin(image.place, image.reference, request.pinAs)
      }
      const bytes = request.dryRun ? run.bytes : bytesOf(after)
      return { digest, bytes, fetchedBytes, isUnchanged: fetchedBytes === 0 }
    } finally {
      run.end()
    }
  }
}

class Run {
  readonly #options: PreloadImageOptions
  readonly #image: Image
  readonly #request: PreloadRequest
  readonly #progress: Progress
  readonly #pull: Pull
  readonly #releases: (() => void)[] = []
  readonly #failures: unknown[] = []
  #fetchedBytes = 0
  /** Of all that was reached. */
  bytes = 0

  constructor(
    options: PreloadImageOptions,
    image: Image,
    request: PreloadRequest,
    progress: Progress,
    pull: Pull,
  ) {
    this.#options = options
    this.#image = image
    this.#request = request
    this.#progress = progress
    this.#pull = pull
  }

  survey(digest: Digest): Promise<Survey> {
    const { referrers } = this.#request
    const { place } = this.#image
    const { signal } = this.#pull
    return this.#options.surveyor.survey({
      place,
      digest,
      platforms: this.#platforms,
      referrers,
      signal,
    })
  }

  allHere({ here }: Survey): number {
    for (const { digest, size } of here) {
      this.bytes += size
      if (this.#progress.known(digest, size)) this.#progress.arrived(digest, false)
    }
    return 0
  }

  /** @returns bytes that were not here before, or, in a dry run, are not here */
  async fetch(root: Digest): Promise<number> {
    const { referrers } = this.#request
    const source: WalkSource = {
      manifest: (descriptor) => this.#manifest(descriptor),
      ...(referrers ? { referrers: (digest: Digest) => this.#referrers(digest) } : {}),
    }
    const steps = walk({ digest: root, size: -1 }, this.#platforms, source)
    const fetching: Promise<void>[] = []
    for await (const reached of steps) {
      if (this.#pull.signal?.aborted === true) break
      this.#releases.push(this.#options.hold(reached.descriptor.digest))
      if (reached.kind === 'blob') fetching.push(this.#blob(reached))
    }
    await Promise.all(fetching)
    this.#pull.signal?.throwIfAborted()
    this.#throwFirst()
    return this.#fetchedBytes
  }

  end(): void {
    for (const release of this.#releases) release()
  }

  get #platforms() {
    return this.#request.platforms ?? this.#image.platforms
  }

  /** What a registry lists and does not have is told of in the end: the rest may be had. */
  async #manifest({ digest }: WalkDescriptor): Promise<Manifest | undefined> {
    try {
      const reference = { kind: 'digest', digest } as const
      const pulled = await this.#options.manifests.get(this.#pull, reference)
      const isFetched = pulled.outcome.result !== 'hit'
      this.#count(digest, pulled.bytes.length, isFetched)
      return parseManifest(pulled.bytes, pulled.mediaType)
    } catch (error) {
      this.#failures.push(error)
      return undefined
    }
  }

  async #referrers(digest: Digest): Promise<readonly WalkDescriptor[]> {
    const { lists, manifests } = this.#options
    const found: WalkDescriptor[] = []
    try {
      found.push(...(await lists.referrers(this.#pull, digest)).items)
      for (const tag of cosignTags(digest)) {
        const tagged = await manifests
          .get(this.#pull, { kind: 'tag', tag })
          .catch((error: unknown) => {
            if (error instanceof RegistryError && error.status === 404) return undefined
            throw error
          })
        if (tagged !== undefined) found.push({ digest: tagged.digest, size: tagged.bytes.length })
      }
    } catch (error) {
      this.#failures.push(error)
    }
    return found
  }

  async #blob({ descriptor }: Reached): Promise<void> {
    const { digest, size } = descriptor
    const isNew = this.#progress.known(digest, size)
    this.bytes += Math.max(0, size)
    const { queue } = this.#options
    try {
      const wasFetched = await (this.#request.dryRun
        ? this.#isAbsent(descriptor)
        : queue.add(() => this.#obtain(descriptor)))
      if (isNew) this.#progress.arrived(digest, wasFetched)
      if (wasFetched) this.#fetchedBytes += Math.max(0, size)
    } catch (error) {
      this.#progress.failed(digest)
      this.#failures.push(error)
    }
  }

  async #obtain({ digest }: WalkDescriptor): Promise<boolean> {
    this.#pull.signal?.throwIfAborted()
    this.#progress.began(this.#image.name, digest)
    return this.#options.blobs.obtain(this.#pull, digest, (bytes) => {
      this.#progress.came(digest, bytes)
    })
  }

  async #isAbsent({ digest }: WalkDescriptor): Promise<boolean> {
    return !(await this.#options.surveyor.isHere(this.#image.place, digest))
  }

  #count(digest: Digest, size: number, wasFetched: boolean): void {
    this.bytes += size
    if (wasFetched) this.#fetchedBytes += size
    if (this.#progress.known(digest, size)) this.#progress.arrived(digest, wasFetched)
  }

  #throwFirst(): void {
    if (this.#failures.length === 0) return
    const bug = this.#failures.find((failure) => !(failure instanceof RegistryError))
    throw bug ?? this.#failures[0]
  }
}

/** In the background: a node that pulls goes first. */
function pullOf({ upstream, place }: Image, signal: AbortSignal): Pull {
  return { upstream, place, as: { kind: 'larder' }, urgency: 'background', signal }
}

/** Everything came, and something is not here all the same: the disk or the cap did not take it. */
function requireWhole({ missing }: Survey): void {
  const [first] = missing
  if (first === undefined) return
  const { digest, lack } = first
  const rest = missing.length > 1 ? `, and ${missing.length - 1} more` : ''
  const message = `came, but is not kept: ${digest} is ${lack}${rest}; is there room (storage.maxSize, minFree)?`
  throw new PreloadError('NO_ROOM', message)
}

function bytesOf({ here }: Survey): number {
  return here.reduce((sum, { size }) => sum + size, 0)
}
