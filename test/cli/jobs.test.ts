import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { PreloadJob } from '../../src/config/config.ts'
import { PreloadSite } from '../airgap/site.ts'
import { Barrier } from '../support/barrier.ts'
import { stall } from '../support/faults.ts'
import { buildImage } from '../support/images.ts'
import { larder } from './admin.ts'

const V1 = 'reg.test/team/app:v1'
const NIGHTLY: PreloadJob = {
  name: 'nightly',
  sources: [V1],
  schedule: '0 3 * * *',
  platforms: [],
  pin: true,
}

async function start(preload: readonly PreloadJob[] = []): Promise<PreloadSite> {
  const site = await PreloadSite.start({ app: { preload } })
  site.registry.add('team/app', buildImage({ seed: 'v1', layers: [4096] }), 'v1')
  return site
}

function run(site: PreloadSite, ...args: readonly string[]) {
  return larder([...args, '--server', site.app.adminUrl])
}

test('a preload is begun, listed, watched to its end and shown', async () => {
  await using site = await start([NIGHTLY])
  const none = await larder(['jobs', '--server', site.app.adminUrl])
  assert.match(none.stdout, /^CONFIGURED +SCHEDULE +NEXT +LAST\nnightly +0 3 \* \* \* +20.*Z +-\n$/)
  const begun = await run(site, 'preload', V1, 'reg.test/team/app:none', '--detach')
  assert.equal(begun.code, 0, begun.stderr)
  const id = begun.stdout.trim()
  assert.match(id, /^[0-9a-f]{12}$/)
  const watched = await run(site, 'jobs', 'watch', id)
  assert.equal(watched.code, 3)
  assert.match(
    watched.stdout,
    /^2 images: 1 fetched, 0 unchanged, 1 failed; .*\n\nFAILED\nreg\.test\/team\/app:none: /,
  )
  const shown = await run(site, 'jobs', 'show', id)
  assert.equal(shown.code, 0)
  assert.match(shown.stdout, /^state +incomplete$/m)
  assert.match(shown.stdout, /^images +1 of 2, 1 failed$/m)
  assert.match(shown.stdout, /^reg\.test\/team\/app:v1 +done +4\.\d KiB$/m)
  const list = await run(site, 'jobs')
  assert.match(
    list.stdout,
    new RegExp(`^${id} +incomplete +api +1 of 2, 1 failed +4\\.\\d KiB`, 'm'),
  )
  const json = JSON.parse((await run(site, 'jobs', '-o', 'json')).stdout)
  assert.deepEqual([json.jobs[0].id, json.configured[0].name], [id, 'nightly'])
  const again = JSON.parse((await run(site, 'jobs', 'watch', id, '-o', 'json')).stdout)
  assert.equal(again.state, 'incomplete')
  const retry = await run(site, 'jobs', 'retry', id, '--watch')
  assert.equal(retry.code, 3)
  assert.match(retry.stdout, /^1 image: 0 fetched, 0 unchanged, 1 failed/)
})

test('a job of the configuration is run when asked, and its last result is listed', async () => {
  await using site = await start([NIGHTLY])
  const dry = await run(site, 'jobs', 'run', 'nightly', '--dry-run', '--watch')
  assert.equal(dry.code, 0, dry.stderr)
  assert.match(dry.stdout, /^1 image: 1 to fetch/)
  const ran = await run(site, 'jobs', 'run', 'nightly', '--watch')
  assert.equal(ran.code, 0, ran.stderr)
  const { stdout } = await run(site, 'jobs')
  assert.match(stdout, /^nightly +0 3 \* \* \* +20.*Z +done: 1 image, 20.*Z$/m)
  assert.match(stdout, /^[0-9a-f]{12} +done +nightly, pinned +1 of 1/m)
  const unknown = await run(site, 'jobs', 'run', 'weekly')
  assert.equal(unknown.code, 6)
  assert.match(unknown.stderr, /no preload job weekly; it has: nightly/)
})

test('a job is cancelled, and who watches it is told', async () => {
  await using site = await start()
  const barrier = new Barrier()
  site.registry.script({ path: /\/blobs\// }, stall(1024, barrier))
  const { stdout } = await run(site, 'preload', V1, '--detach')
  const id = stdout.trim()
  const watching = run(site, 'jobs', 'watch', id)
  await site.registry.seen({ path: /\/blobs\// })
  const cancelled = await run(site, 'jobs', 'cancel', id)
  assert.equal(cancelled.code, 0)
  const { code, stderr } = await watching
  barrier.release()
  assert.equal(code, 1)
  assert.match(stderr, /the preload was cancelled/)
  const twice = await run(site, 'jobs', 'cancel', id)
  assert.equal(twice.code, 1)
  assert.match(twice.stderr, /it has ended already: cancelled/)
  for (const command of ['show', 'watch', 'cancel', 'retry']) {
    const none = await run(site, 'jobs', command, 'none')
    assert.equal(none.code, 6, command)
    assert.match(none.stderr, /there is no preload job none/)
  }
})

test('with nothing to list it says how one begins, and its help has examples', async () => {
  await using site = await start()
  const { code, stdout, stderr } = await run(site, 'jobs')
  assert.deepEqual([code, stdout], [0, ''])
  assert.match(stderr, /no preload so far: larder preload begins one/)
  const help = await larder(['jobs', '--help'])
  assert.match(help.stdout, /Examples:\n {2}larder jobs\n/)
  for (const child of ['show', 'watch', 'cancel', 'retry', 'run']) {
    assert.ok(help.stdout.includes(`  ${child} `), child)
  }
  const both = await run(site, 'preload', V1, '--detach', '--failed-out', 'x')
  assert.equal(both.code, 2)
})
