import { setTimeout } from 'node:timers/promises'

import { makeTempDir } from '../support/temp-dir.ts'
import { type Filled, fillDataDirectory } from './data-directory.ts'
import { catalogLatency, headLatency } from './lookups.ts'
import { type OperatorFigures, operatorLatency } from './operators.ts'
import { Pulls } from './pulls.ts'
import { Site } from './site.ts'
import { type Spread, spreadOf } from './spread.ts'

const STARTS = 5
/** Nothing is asked of it until it does nothing by itself. */
const QUIET_MS = 500
const QUIET_CPU_SECONDS = 0.02
const SETTLE_TIMEOUT_MS = 60_000
const PULLS_MS = 3_000
/** The oldest tenth of what {@link fillDataDirectory} makes. */
const OLDEST_TENTH = '90d'

export interface Figures extends Filled {
  readonly readyMs: Spread
  /** As HEAD over one connection sees them, milliseconds. */
  readonly heads: Readonly<Record<'blob' | 'digest' | 'tag', Spread>>
  /** As an operator's tools see them, milliseconds. */
  readonly operators: OperatorFigures
  /** In the catalog alone, milliseconds. */
  readonly lookup: Spread
  readonly evicted: number
  readonly evictMs: number
  /** While that goes on, milliseconds. */
  readonly delay: Spread
  /** Milliseconds of CPU. */
  readonly stretches: Spread
  /** While pulls go on and nothing is evicted, milliseconds. */
  readonly delayBefore: Spread
  /** Whole pulls a second. */
  readonly pullsBefore: number
  readonly pullsDuring: number
  readonly idleBytes: number
  readonly loadedBytes: number
}

export async function measureSize(main: string, blobs: number): Promise<Figures> {
  await using dir = await makeTempDir('larder-size-')
  const filled = await fillDataDirectory(dir.path, blobs)
  const dataDir = dir.path
  const starts: number[] = []
  for (let i = 0; i < STARTS; i++) {
    await using site = await Site.start({ dataDir, main })
    starts.push(site.readyMs)
  }
  const lookup = await catalogLatency(dataDir, filled.images)
  const served = await serve(main, dataDir, filled.images)
  return {
    ...filled,
    readyMs: spreadOf(starts),
    lookup,
    ...served,
    ...(await evict(main, dataDir)),
  }
}

async function serve(main: string, dataDir: string, images: number) {
  await using site = await Site.start({ dataDir, main })
  await settle(site)
  const idleBytes = site.residentBytes
  const heads = {
    blob: await headLatency(site, images, 'blob'),
    digest: await headLatency(site, images, 'digest'),
    tag: await headLatency(site, images, 'tag'),
  }
  const operators = await operatorLatency(site)
  return { idleBytes, heads, operators }
}

async function evict(main: string, dataDir: string) {
  await using site = await Site.start({ dataDir, main, isProbed: true })
  await settle(site)
  await using pulls = new Pulls(site)
  await pulls.start()
  await site.delay()
  const pullsBefore = await pulls.rate(PULLS_MS)
  const delayBefore = await site.delay()
  await site.stretches()
  const startedAt = performance.now()
  const during = await pulls.during(() => site.evict(OLDEST_TENTH))
  const evictMs = performance.now() - startedAt
  const stretches = await site.stretches()
  const delay = await site.delay()
  const loadedBytes = site.residentBytes
  const evicted = during.result
  const pullsDuring = during.rate
  return { evicted, evictMs, delay, delayBefore, stretches, pullsBefore, pullsDuring, loadedBytes }
}

/** Until the start, with what goes on behind it, is over. */
export async function settle(site: Site): Promise<void> {
  const endsAt = performance.now() + SETTLE_TIMEOUT_MS
  for (let before = -1, now = site.cpuSeconds; performance.now() < endsAt; ) {
    if (now - before < QUIET_CPU_SECONDS) return
    await setTimeout(QUIET_MS)
    before = now
    now = site.cpuSeconds
  }
}
