/** Who uses the disk. */
import assert from 'node:assert/strict'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { USAGE } from '../../src/admin/answers/storage.ts'
import { PreloadSite } from '../airgap/site.ts'
import { send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { SkippingClock } from '../support/skipping-clock.ts'
import { jsonOf } from './site.ts'

async function usage({ app }: PreloadSite) {
  return USAGE.parse(jsonOf(await send(app.adminUrl, '/api/v1/storage/usage')))
}

async function bytesOnDisk({ app }: PreloadSite): Promise<number> {
  const folder = join(app.dataDir, 'blobs')
  const names = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = names.filter((one) => one.isFile())
  const sizes = await Promise.all(files.map((one) => stat(join(one.parentPath, one.name))))
  return sizes.reduce((sum, { size }) => sum + size, 0)
}

test('every byte on disk is somebody’s, and what two have is counted once of the whole', async () => {
  const clock = new SkippingClock()
  await using site = await PreloadSite.start({ app: { clock } })
  assert.deepEqual((await usage(site)).upstreams, [])
  const large = buildImage({ seed: 'large', layers: [90_000] })
  const small = buildImage({ seed: 'small', layers: [10_000] })
  site.registry.add('team/large', large, 'v1')
  site.registry.add('team/small', small, 'v1')
  site.registry.add('team/copy', small, 'v1')
  const names = ['large', 'small', 'copy'].map((name) => `reg.test/team/${name}:v1`)
  await site.preload(names)
  assert.deepEqual((await usage(site)).upstreams, [], 'what is counted is good for a minute')
  clock.skip(61_000)
  const { upstreams, repositories, unclaimed, countedAt } = await usage(site)
  const bytes = await bytesOnDisk(site)
  const [config, layer] = [...small.blobs.values()].map((blob) => blob.length)
  const shared = small.manifest.bytes.length + (config ?? 0) + (layer ?? 0)
  assert.deepEqual(upstreams, [{ upstream: 'reg.test', bytes, blobs: 6, sharedBytes: 0 }])
  assert.deepEqual(unclaimed, { bytes: 0, blobs: 0 })
  const ofSmall = { upstream: 'reg.test', bytes: shared, blobs: 3, sharedBytes: shared }
  const shares = repositories.toSorted((one, other) =>
    one.repository.localeCompare(other.repository),
  )
  assert.deepEqual(shares, [
    { repository: 'team/copy', ...ofSmall },
    {
      repository: 'team/large',
      upstream: 'reg.test',
      bytes: bytes - shared,
      blobs: 3,
      sharedBytes: 0,
    },
    { repository: 'team/small', ...ofSmall },
  ])
  assert.equal(repositories[0]?.repository, 'team/large')
  assert.ok(countedAt > 0)
})

test('what nobody is known to have is said apart: after the database was lost', async () => {
  await using site = await PreloadSite.start()
  site.registry.add('team/app', buildImage({ layers: [9_000] }), 'v1')
  await site.preload(['reg.test/team/app:v1'])
  await site.app.restart({}, async () => {
    for (const name of ['larder.db', 'larder.db-wal', 'larder.db-shm']) {
      await rm(join(site.app.dataDir, name), { force: true })
    }
  })
  await site.app.until('larder_store_blobs', 3)
  const { unclaimed } = await usage(site)
  assert.deepEqual(unclaimed, { bytes: await bytesOnDisk(site), blobs: 3 })
})
