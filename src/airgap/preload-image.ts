import type PQueue from 'p-queue'

import type { Digest } from '../oci/digest.ts'
import type { Platforms } from '../oci/platform.ts'
import type { Blobs } from '../pull/blobs.ts'
import type { Lists } from '../pull/lists.ts'
import type { Manifests } from '../pull/manifests.ts'
import type { Outcome, Pull } from '../pull/pull.ts'
import type { Leases } from '../store/leases.ts'
import { PreloadError } from './failure.ts'
import { Fetch } from './fetch.ts'
import type { Image } from './image.ts'
import type { Patience } from './patience.ts'
import type { PreloadPin, PreloadRequest } from './preload.ts'
import type { Progress } from './progress.ts'
import type { Survey, Surveyor } from './survey.ts'

export interface PreloadImageOptions {
  readonly manifests: Pick<Manifests, 'get' | 'restore'>
  readonly blobs: Pick<Blobs, 'obtain'>
  readonly lists: Pick<Lists, 'referrers'>
  readonly surveyor: Surveyor
  /** Why nobody could read the image here, whatever is fetched; asks its registry, if need be. */
  readonly obstacle: (image: Image) => Promise<string | undefined>
  /** Its registry has just given something of the image. */
  readonly proved: (image: Image, outcome: Outcome) => void
  readonly pin: (image: Image, pin: PreloadPin, platforms: Platforms) => Promise<void>
  /** Whether so many bytes more would be kept. */
  readonly hasRoomFor: (bytes: number) => Promise<boolean>
  readonly leases: Pick<Leases, 'hold'>
  readonly run: PreloadRunParts
}

/** What the images of one run share. */
export interface PreloadRunParts {
  readonly request: PreloadRequest
  readonly progress: Progress
  readonly patience: Patience
  /** Where contents wait for their turn. */
  readonly queue: PQueue
  /** Contents that are being fetched for some image. */
  readonly under: Map<Digest, Promise<void>>
  readonly signal: AbortSignal
  readonly hold: (digest: Digest) => Promise<void>
}

export interface ImageDone {
  readonly digest: Digest
  /** Bytes of all that the image needs. */
  readonly bytes: number
  readonly fetchedBytes: number
  readonly warning: string | undefined
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
  async run(image: Image): Promise<ImageDone> {
    const { manifests, obstacle, proved, pin, run } = this.#options
    const { request, patience, signal } = run
    const { upstream } = image.place
    const problem = await patience.run(upstream, signal, () => obstacle(image))
    if (problem !== undefined) throw new PreloadError('NOT_PUBLIC', problem)
    const pull = pullOf(image)
    const { digest, outcome } = await patience.run(upstream, signal, () =>
      manifests.get(pull, image.reference),
    )
    proved(image, outcome)
    const before = await this.survey(image, digest)
    const fetch = new Fetch(this.#options, image, pull, before)
    const isNew = outcome.result === 'miss' || outcome.result === 'coalesced'
    // What points at an image may have come since, and only its registry knows.
    const isWhole = before.missing.length === 0 && !request.referrers
    if (isWhole) fetch.allHere(isNew ? digest : undefined)
    else await fetch.run(digest, isNew)
    const after = isWhole || request.dryRun ? before : await this.survey(image, digest)
    requirePlatform(after)
    if (!request.dryRun) {
      requireWhole(after)
      if (request.pin !== undefined) await pin(image, request.pin, this.#platformsOf(image))
    }
    const { bytes, fetchedBytes } = fetch
    const isUnchanged = fetchedBytes === 0
    return { digest, bytes, fetchedBytes, isUnchanged, warning: outcome.warning }
  }

  /** What of it is here, and stays to the end of the run. */
  survey(image: Image, digest: Digest): Promise<Survey> {
    const { surveyor, run } = this.#options
    const { request, hold, signal } = run
    const { referrers } = request
    const { place } = image
    const platforms = this.#platformsOf(image)
    return surveyor.survey({ place, digest, platforms, referrers, hold, signal })
  }

  #platformsOf({ platforms }: Image): Platforms {
    return this.#options.run.request.platforms ?? platforms
  }
}

/** Everything came, and something is not here all the same: the disk or the cap did not take it. */
export function requireWhole({ missing }: Survey): void {
  const [first] = missing
  if (first === undefined) return
  const { digest, lack } = first
  const rest = missing.length > 1 ? `, and ${missing.length - 1} more` : ''
  if (missing.some((one) => one.lack === 'missing')) {
    const advice = 'is there room (storage.maxSize, minFree), and does the disk take writes?'
    throw new PreloadError('NO_ROOM', `came, but is not kept: ${digest}${rest}; ${advice}`)
  }
  throw new PreloadError('INCOMPLETE', `came, but ${digest} is ${lack}${rest}`)
}

function requirePlatform({ notFor }: Survey): void {
  if (notFor !== undefined) throw new PreloadError('NO_PLATFORM', notFor)
}

/**
 * In the background: a node that pulls goes first. Without a signal: others may wait for the same
 * answer, and what one run no longer wants they do.
 */
function pullOf({ upstream, place }: Image): Pull {
  const as = { kind: 'larder' } as const
  return { upstream, place, as, reason: 'preload', urgency: 'background' }
}
