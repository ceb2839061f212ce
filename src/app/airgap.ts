import { setTimeout as sleep } from 'node:timers/promises'

import type { Caller } from '../access/caller.ts'
import { Check } from '../airgap/check.ts'
import { PreloadError } from '../airgap/failure.ts'
import type { Image } from '../airgap/image.ts'
import { PreloadJobs, type ReadSources } from '../airgap/jobs.ts'
import { Preload, type PreloadPin } from '../airgap/preload.ts'
import { Surveyor } from '../airgap/survey.ts'
import type { Logger } from '../log.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Platforms } from '../oci/platform.ts'
import type { Manifests } from '../pull/manifests.ts'
import { NotHereError, nameOf } from '../store/pin.ts'
import { reasonOf } from './reason.ts'
import { isDiskRefusal } from './refusal.ts'
import type { Site } from './site.ts'

export interface AirgapParts {
  readonly site: Site
  readonly logger: Logger
  /** Default: what a job names are images. */
  readonly readSources?: ReadSources | undefined
}

/** What fills a site before its network is cut, and says whether that was enough. */
export interface Airgap {
  readonly preload: Preload
  readonly check: Check
  readonly jobs: PreloadJobs
}

export function createAirgap({ site, logger, readSources }: AirgapParts): Airgap {
  const { store, pull, gate, metrics } = site
  const { catalog, kept, integrity } = store
  const resolve = (registry: string, repository: string) =>
    site.upstreams().resolve(registry, repository)
  const surveyor = new Surveyor({ catalog, blobs: store.files })
  const preload = new Preload({
    ...pull,
    manifests: restoring(pull.manifests),
    ready: store.ready,
    surveyor,
    resolve,
    obstacle: (image) => obstacleOf(site, image),
    proved: ({ upstream, place }, outcome) => gate.proved(upstream, place, LARDER, outcome),
    pin: (image, pin, platforms) => pinned(site, image, { ...pin, platforms }),
    hasRoomFor: (bytes) => kept.admission.mayFit(bytes),
    leases: kept.leases,
    onBegan: () => metrics.preload.began(),
    elapsed: site.monotonic,
    sleep: pause,
    random: Math.random,
  })
  const check = new Check({
    ready: store.ready,
    surveyor,
    resolve,
    obstacle: (image) => offlineObstacleOf(site, image),
    hash: (digest, signal) => integrity.isRight(digest, signal),
  })
  const jobs = new PreloadJobs({
    preload,
    jobs: () => site.config().preload,
    readSources: readSources ?? (async (images) => ({ images, problems: [] })),
    resolve,
    unpinOthers: (owner, names) => unpinOthers(site, owner, names),
    logger,
    onEnded: (job, ended) => metrics.preload.jobEnded(job, ended),
    elapsed: site.monotonic,
  })
  return { preload, check, jobs }
}

const LARDER = { kind: 'larder' } as const

/** Whoever it is, without a secret. */
const ANYONE: Caller = {
  user: undefined,
  entry: 'open',
  credential: undefined,
  isEncrypted: false,
  address: '',
}

/** Asks as anyone does, so that it is known here when nobody can be asked any more. */
async function obstacleOf(
  { gate }: Site,
  { name, upstream, place, reference }: Image,
): Promise<string | undefined> {
  try {
    await gate.admit(ANYONE, upstream, place, { kind: 'manifest', reference })
    return undefined
  } catch (error) {
    if (!isRefusal(error)) throw error
    // Callers prove what they may read themselves.
    return upstream.config.access === 'caller' ? undefined : notPublic(name, place.upstream)
  }
}

/** Why nobody could read the image here without a network, though all of it is here. Asks nobody. */
export async function offlineObstacleOf(
  { store }: Site,
  { name, upstream, place }: Pick<Image, 'name' | 'upstream' | 'place'>,
): Promise<string | undefined> {
  const { access, credentials, staleGrantMs } = upstream.config
  if (access === 'shared') return undefined
  if (access === 'public' && credentials.length === 0) return undefined
  if ((await store.catalog.getPublicAt(place)) !== undefined) return undefined
  if (access === 'public') {
    return `${name} is not known to be public, and ${place.upstream} has access: public: preload it`
  }
  if (staleGrantMs > 0) return undefined
  return (
    `${name} is not known to be public, and offline nobody can prove a right to it: ` +
    `${place.upstream} has access: caller without staleGrant`
  )
}

function notPublic(name: string, upstream: string): string {
  const advice = 'shared lets everyone read here what its account can read'
  return `${name} is not public, and ${upstream} has access: public (${advice})`
}

function isRefusal(error: unknown): boolean {
  return error instanceof RegistryError && ['DENIED', 'UNAUTHORIZED'].includes(error.code)
}

async function pinned(
  { store }: Site,
  { place, reference }: Image,
  pin: PreloadPin & { readonly platforms: Platforms },
): Promise<void> {
  try {
    await store.pins.pin({ place, reference, ...pin })
  } catch (error) {
    if (error instanceof NotHereError) {
      throw new PreloadError('INCOMPLETE', 'it has gone before it could be pinned', {
        cause: error,
      })
    }
    if (!isDiskRefusal(error)) throw error
    const message = `all of it is here, but it cannot be pinned: ${reasonOf(error)}`
    throw new PreloadError('NO_ROOM', message, { cause: error })
  }
}

/** Of a manifest that is in memory alone, the disk may refuse the file: then its image does not fit. */
function restoring(manifests: Manifests): Pick<Manifests, 'get' | 'restore'> {
  return {
    get: (pull, reference) => manifests.get(pull, reference),
    restore: (pull, digest) =>
      manifests.restore(pull, digest).catch((error: unknown) => {
        if (!isDiskRefusal(error)) throw error
        const message = `${digest} cannot be kept: ${reasonOf(error)}`
        throw new PreloadError('NO_ROOM', message, { cause: error })
      }),
  }
}

async function unpinOthers(
  { store }: Site,
  owner: string,
  names: ReadonlySet<string>,
): Promise<number> {
  const { pins, kept } = store
  let count = 0
  for (const pin of pins.list()) {
    if (pin.owner !== owner || pin.kind === 'pattern') continue
    if (names.has(nameOf(pin, pin.reference))) continue
    const { upstream, repository, reference } = pin
    count += (await pins.unpin({ upstream, repository, reference, owner })).length
  }
  if (count > 0) kept.eviction.lookAgain()
  return count
}

async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  await sleep(delayMs, undefined, { signal })
}
