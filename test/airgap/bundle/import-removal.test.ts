import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { Barrier } from '../../support/barrier.ts'
import { interceptFiles } from '../../support/fs-faults.ts'
import { send } from '../../support/http-client.ts'
import { buildImage } from '../../support/images.ts'
import { bundleOf, REGISTRY } from './archives.ts'
import { bring, endOf, imagesOf, pull, startOffline, storedIn } from './import-site.ts'

/** In which an import that looked at once would long have looked. */
const TURNS = 300

test('an import takes nothing for here that is just being removed', async () => {
  await using app = await startOffline()
  const image = buildImage({ seed: 'going', layers: [2000, 3000] })
  const bundle = bundleOf([{ image, tag: 'v1', checkedAt: Date.now() }])
  await bring(app, bundle)
  const removing = new Barrier()
  using _ = await interceptFiles((operation, path = '') =>
    operation === 'unlink' && path.includes('/blobs/') ? removing.wait() : undefined,
  )
  const purged = send(app.adminUrl, '/api/v1/purge', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ pattern: `${REGISTRY}/**` }),
  })
  await removing.arrived()
  const brought = bring(app, bundle)
  for (let turn = 0; turn < TURNS; turn++) await setImmediate()
  removing.release()
  assert.equal((await purged).status, 200)
  const lines = await brought
  assert.deepEqual(imagesOf(lines), [`${REGISTRY}/team/app:v1 published`])
  assert.equal(endOf(lines).addedBlobs, 4)
  await pull(app, image, 'v1')
  const { files, rows } = await storedIn(app)
  assert.equal(rows, files.length)
})
