import { join } from 'node:path'

import { fillDataDirectory } from '../../size/data-directory.ts'
import { settle } from '../../size/measure.ts'
import { BUILT, Site } from '../../size/site.ts'
import type { Sample } from '../sample.ts'
import { LOOP, type StartScenario } from './scenario.ts'

const BLOBS = 100_000

/** Larder with much in its store, as `npm run build` makes it: what the image has. */
export function createStartScenario(): StartScenario {
  return {
    name: 'start-100000',
    title: 'start with 100 000 blobs, of what `npm run build` makes',
    measures: 'starts',
    roles: ['larder'],
    comparisons: [
      { figure: 'readySeconds', atMost: 1 },
      { figure: 'idleRssMiB', atMost: 120 },
      LOOP,
    ],
    async prepare({ folder }, progress) {
      const dataDir = join(folder, 'start')
      const said = (blobs: number) => progress(`start-${BLOBS}: ${blobs} of ${BLOBS} blobs made`)
      await fillDataDirectory(dataDir, BLOBS, { progress: said })
      return () => start(dataDir)
    },
  }
}

async function start(dataDir: string): Promise<Sample> {
  await using site = await Site.start({ dataDir, main: BUILT })
  await settle(site)
  // Before it is asked for anything: an answer takes memory and time, too.
  const { residentBytes, cpuSeconds } = site
  const { p99 } = await site.delay()
  return {
    readySeconds: site.readyMs / 1000,
    idleRssMiB: residentBytes / 2 ** 20,
    cpuSeconds,
    loopP99Ms: p99,
  }
}
