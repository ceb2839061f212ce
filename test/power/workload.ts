import type { Descriptor } from '../../src/oci/descriptor.ts'
import { Barrier } from '../support/barrier.ts'
import { stall } from '../support/faults.ts'
import { buildImage, buildIndex, type Image } from '../support/images.ts'
import { type Site, UPSTREAM } from './site.ts'

const KIB = 1024
const MIB = 1024 * KIB
const FILLERS = 8
/** Each writes a row. */
const REVALIDATIONS = 20

const base = buildImage({ seed: 'base', layers: [20 * KIB, 700] })
const app = buildIndex([
  buildImage({ seed: 'amd', layers: [20 * KIB] }),
  buildImage({ seed: 'arm', layers: [21 * KIB], platform: { architecture: 'arm64', os: 'linux' } }),
])
/** Of several chunks. */
const big = buildImage({ seed: 'big', layers: [MIB + 100 * KIB, 512] })
const slow = buildImage({ seed: 'slow', layers: [MIB + 300 * KIB] })
const monday = buildImage({ seed: 'monday', layers: [10 * KIB] })
const tuesday = buildImage({ seed: 'tuesday', layers: [11 * KIB] })
const fillers = Array.from({ length: FILLERS }, (_, i) =>
  buildImage({ seed: `filler-${i}`, layers: [60 * KIB + i] }),
)

const ROLLING = `${UPSTREAM}/library/rolling:latest`
const APP = `${UPSTREAM}/library/app:v1`
const BIG = `${UPSTREAM}/library/big:v1`
const BASES = `${UPSTREAM}/library/base:*`

/** Until a download is under way, of which a part is on the disk. */
export async function firstLife(site: Site): Promise<void> {
  fill(site)
  const { registry } = site
  registry.add('library/rolling', monday, 'latest')
  await site.pinPattern(BASES)
  await Promise.all([
    site.pull('library/base', '1'),
    site.pull('library/app', 'v1'),
    site.pull('library/big', 'v1'),
  ])
  await Promise.all([site.pin(APP, app), site.pin(BIG, big)])
  await site.pull('library/rolling', 'latest')
  await site.pin(ROLLING, monday, true)
  await Promise.all([0, 1, 2].map((i) => site.pull('library/filler', `${i}`)))
  registry.add('library/rolling', tuesday, 'latest')
  site.witness.begins('pin', ROLLING, tuesday.manifest.digest)
  await site.pull('library/rolling', 'latest')
  await site.followed(ROLLING, tuesday)
  await site.unpin(BIG)
  for (let i = 0; i < REVALIDATIONS; i++) await site.get('/v2/library/rolling/manifests/latest')
  await mend(site)
  await breakOff(site)
}

/** Goes on with it, and then has too little room. */
export async function secondLife(site: Site): Promise<void> {
  fill(site)
  const { registry } = site
  registry.add('library/rolling', tuesday, 'latest')
  await site.pull('library/slow', 'v1')
  await site.purge(`${UPSTREAM}/library/filler:0`)
  await site.pin(BIG, big)
  await site.unpin(ROLLING)
  await site.admin('POST', '/gc', {})
  await site.reload('1400KiB')
  for (const i of [3, 4, 5, 6]) await site.pull('library/filler', `${i}`)
  await site.unpinPattern(BASES)
  await site.stop()
  await site.start('1400KiB')
  await site.pull('library/filler', '7')
  await site.pin(`${UPSTREAM}/library/filler:7`, fillerAt(7))
  await site.unpin(APP)
}

function fill({ registry }: Site): void {
  registry.add('library/base', base, '1')
  registry.add('library/app', app, 'v1')
  registry.add('library/big', big, 'v1')
  registry.add('library/slow', slow, 'v1')
  for (const [i, image] of fillers.entries()) registry.add('library/filler', image, `${i}`)
}

/** Damage is found, put aside and fetched again. */
async function mend(site: Site): Promise<void> {
  await site.damage(layerOf(fillerAt(1)).digest)
  await site.admin('POST', '/verify', { repair: false })
  await site.pull('library/filler', '1')
}

/** Nothing is being written at the end: of what a kill interrupts nobody knows how far it came. */
async function breakOff(site: Site): Promise<void> {
  const { digest } = layerOf(slow)
  const path = new RegExp(`/blobs/${digest}`)
  site.registry.script({ method: 'GET', path }, stall(MIB + 200 * KIB, new Barrier()))
  const written = site.witness.standsStill(digest, MIB)
  // It never ends.
  site.pull('library/slow', 'v1').catch(() => undefined)
  await written
  await site.witness.stored([slow.manifest.digest, slow.config.digest])
}

function fillerAt(index: number): Image {
  const image = fillers[index]
  if (image === undefined) throw new RangeError(`there is no filler ${index}`)
  return image
}

function layerOf({ layers }: Image): Descriptor {
  const [layer] = layers
  if (layer === undefined) throw new Error('the image has no layer')
  return layer
}
