import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stringify } from 'yaml'

import { PreloadSite } from '../airgap/site.ts'
import { buildImage } from '../support/images.ts'
import { larder } from './admin.ts'

const APP = 'reg.test/team/app:v1'

async function start() {
  const site = await PreloadSite.start()
  const image = buildImage({ seed: 'app', layers: [4096, 3 * 1024 * 1024] })
  site.registry.add('team/app', image, 'v1')
  const [small, large] = image.layers
  assert.ok(small && large)
  const run = (...args: string[]) => larder(['check', ...args, '--server', site.app.adminUrl])
  return {
    site,
    image,
    small,
    large,
    run,
    [Symbol.asyncDispose]: () => site[Symbol.asyncDispose](),
  }
}

test('what is not here at all is said, and ends with 3', async () => {
  await using here = await start()
  const { code, stdout } = await here.run(APP)
  assert.equal(code, 3)
  assert.match(stdout, /^reg.test\/team\/app:v1: not here\n1 image: 0 complete, 1 incomplete/)
})

test('what is missing is named with image, digest and size; --fetch gets it', async () => {
  await using here = await start()
  const { site, large, run } = here
  await site.preload([APP])
  assert.deepEqual(await run(APP), {
    code: 0,
    stdout: '1 image: 1 complete, 0 incomplete\n',
    stderr: '',
  })
  await site.lose(large.digest)
  const lacking = await run(APP)
  assert.equal(lacking.code, 3)
  const [header = '', row = '', sums] = lacking.stdout.split('\n')
  assert.match(header, /^IMAGE +LACK +DIGEST +SIZE +PLATFORM$/)
  assert.deepEqual(row.split(/ {2,}/), [APP, 'blob missing', large.digest, '3.0 MiB', '-'])
  assert.equal(sums, '1 image: 0 complete, 1 incomplete; 3.0 MiB known to be missing')
  const fetched = await run(APP, '--fetch')
  assert.equal(fetched.code, 0, fetched.stdout)
  assert.match(fetched.stderr, /^done {7}reg.test\/team\/app:v1 {2}3.0 MiB of 3.0 MiB$/m)
  assert.equal((await run(APP)).code, 0)
})

test('--hash finds damaged bytes, as JSON too', async () => {
  await using here = await start()
  const { site, small, run } = here
  await site.preload([APP])
  await site.damage(small.digest)
  const { code, stdout } = await run(APP, '--hash', '-o', 'json')
  assert.equal(code, 3)
  const { images, incomplete, missingBytes } = JSON.parse(stdout)
  assert.deepEqual([incomplete, missingBytes], [1, small.size])
  assert.deepEqual(
    images[0].missing.map((one: { digest: string; lack: string }) => [one.digest, one.lack]),
    [[small.digest, 'damaged']],
  )
})

test('what --fetch cannot get stays missing, and is said why', async () => {
  await using here = await start()
  const { run } = here
  const { code, stderr, stdout } = await run('reg.test/team/app:none', '--fetch')
  assert.equal(code, 3)
  assert.match(stderr, /^failed {5}reg.test\/team\/app:none: /m)
  assert.match(stdout, /none: not here/)
})

test('a data directory is checked without a server, and filled with --fetch', async () => {
  await using here = await start()
  const { site, large } = here
  await site.preload([APP])
  const { dataDir } = site.app
  const upstreams = [{ name: 'reg.test', url: site.registry.origin, access: 'public' }]
  const files = { 'larder.yaml': stringify({ version: 1, upstreams }) }
  const ended: { code: number; stdout: string; stderr: string }[] = []
  await site.app.restart({}, async () => {
    const args = ['check', APP, '--data-dir', dataDir, '-c', 'larder.yaml']
    ended.push(await larder(args, { files }))
    await site.lose(large.digest)
    ended.push(await larder(args, { files }))
    ended.push(await larder([...args, '--fetch'], { files }))
  })
  const said = JSON.stringify(ended)
  assert.deepEqual(
    ended.map(({ code }) => code),
    [0, 3, 0],
    said,
  )
  assert.equal((await here.run(APP)).code, 0)
})
