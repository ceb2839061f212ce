/** What comes while pins are being read back from their files, after the database was lost. */
import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { encodedOf } from '../../src/oci/digest.ts'
import { Barrier } from '../support/barrier.ts'
import { interceptFiles } from '../support/fs-faults.ts'
import { send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { bundleOf } from './bundle/archives.ts'
import { exported, planned } from './bundle/export-site.ts'
import { bring, imagesOf } from './bundle/import-site.ts'
import { PreloadSite } from './site.ts'

const APP = 'reg.test/team/app:v1'
const IMAGE = buildImage({ seed: 'pinned' })
const OLDER = buildImage({ seed: 'older' })
/** Enough for what was asked before them to be under way. */
const ROUND_TRIPS = 20

test('what is checked, exported and brought waits until it is known what pins keep', async () => {
  await using site = await PreloadSite.start()
  const { app } = site
  site.registry.add('team/app', OLDER, 'v0')
  site.registry.add('team/app', IMAGE, 'v1')
  // What is here is not written again: room for it is not waited for.
  await site.preload([APP, APP.replace('v1', 'v0')], { pin: true })
  const reading = new Barrier()
  const name = encodedOf(IMAGE.manifest.digest)
  using _ = await interceptFiles((operation, path = '') =>
    operation === 'open' && path.endsWith(name) ? reading.wait() : undefined,
  )
  await app.restart({}, async () => {
    for (const file of await readdir(app.dataDir)) {
      if (file.startsWith('larder.db')) await rm(join(app.dataDir, file))
    }
  })
  await reading.arrived()
  const asked = Promise.all([
    site.check([APP]),
    planned(site, { images: [APP] }),
    exported(site, { images: [APP] }),
    bring(app, bundleOf([{ image: OLDER, tag: 'v1', checkedAt: 1 }])),
  ])
  // Waited for below: until then a failure is nobody's.
  asked.catch(() => undefined)
  for (let i = 0; i < ROUND_TRIPS; i++) await send(app.adminUrl, '/readyz')
  reading.release()
  const [{ done }, { missing, images }, , brought] = await asked
  assert.equal(done.complete, 1)
  assert.deepEqual([images, missing], [1, []])
  assert.deepEqual(imagesOf(brought), [`${APP} unchanged`])
  await site.pull('team/app', IMAGE, 'v1')
})
