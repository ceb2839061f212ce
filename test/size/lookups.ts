import { join } from 'node:path'

import { SqliteCatalog } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import { send } from '../support/http-client.ts'
import { type Image, imageOf } from './content.ts'
import { UPSTREAM } from './data-directory.ts'
import type { Site } from './site.ts'
import { type Spread, spreadOf } from './spread.ts'

const LOOKUPS = 2000
/** Prime, so that images come in no order. */
const STEP = 7919

/** What an image is asked for by. */
const PATHS = {
  blob: ({ repository, own }: Image) => `/v2/${repository}/blobs/${own[1]?.digest}`,
  digest: ({ repository, manifest }: Image) => `/v2/${repository}/manifests/${manifest.digest}`,
  tag: ({ repository, tag }: Image) => `/v2/${repository}/manifests/${tag}`,
}

/** HEAD over one connection, of other images each time, milliseconds as the client sees them. */
export async function headLatency(
  site: Site,
  images: number,
  what: keyof typeof PATHS,
): Promise<Spread> {
  const times: number[] = []
  for (let i = 0; i < LOOKUPS; i++) {
    // The older half is left as it is: to be asked for is to be used.
    const path = PATHS[what](imageOf(images - 1 - ((i * STEP) % (images >> 1))))
    const startedAt = performance.now()
    const { status } = await send(site.larder.url, path, { method: 'HEAD', agent: site.agent })
    times.push(performance.now() - startedAt)
    if (status !== 200) throw new Error(`${status} for HEAD ${path}`)
  }
  return spreadOf(times)
}

/** What the catalog does for a tag and a layer, milliseconds. No Larder may be running there. */
export async function catalogLatency(path: string, images: number): Promise<Spread> {
  const { database } = openDatabase(join(path, 'larder.db'))
  const catalog = new SqliteCatalog(database)
  const times: number[] = []
  for (let i = 0; i < LOOKUPS; i++) {
    const { repository, tag, own } = imageOf((i * STEP) % images)
    const digest = own[1]?.digest
    if (digest === undefined) throw new Error('an image without a layer')
    const place = { upstream: UPSTREAM, repository }
    const startedAt = performance.now()
    const found = [await catalog.getTag(place, tag), await catalog.getMember(place, digest, 'blob')]
    times.push(performance.now() - startedAt)
    if (found.includes(undefined)) throw new Error(`${repository}:${tag} is not in the catalog`)
  }
  await catalog.close()
  return spreadOf(times)
}
