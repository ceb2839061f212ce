import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { ImageSummary } from '../../src/admin/ports/images.ts'
import { Site } from '../admin/site.ts'
import { ARM, PreloadSite } from '../airgap/site.ts'
import { buildImage, buildIndex, seededBytes } from '../support/images.ts'
import { SkippingClock } from '../support/skipping-clock.ts'
import { larder, spawnLarder } from './admin.ts'

const DAY = 86_400_000
const SHARED = seededBytes('shared', 4096)

function imageNamed(name: string): ImageSummary {
  return {
    name,
    upstream: 'reg.test',
    repository: 'app',
    digest: `sha256:${'0'.repeat(64)}`,
    tags: [],
    platforms: [],
    bytes: 0,
    sharedBytes: 0,
    missingBytes: 0,
    complete: true,
    lastUsedAt: undefined,
    pulls: 0,
    lastPulledAt: undefined,
    pinned: false,
  }
}

async function start(clock = new SkippingClock()): Promise<PreloadSite> {
  const site = await PreloadSite.start({ app: { clock } })
  const small = buildImage({ seed: 'small', layers: [SHARED, 100] })
  const large = buildImage({ seed: 'large', layers: [SHARED, 200_000] })
  const both = buildIndex([
    buildImage({ seed: 'both', layers: [9_000] }),
    buildImage({ seed: 'both/arm', layers: [9_000], platform: ARM }),
  ])
  site.registry.add('team/app', small, 'small', 'little')
  site.registry.add('team/app', large, 'large')
  site.registry.add('team/both', both, 'v1')
  const named = (tag: string) => `reg.test/team/app:${tag}`
  await site.preload(['small', 'little'].map(named))
  clock.skip(DAY)
  await site.preload([named('large')], { pin: true })
  clock.skip(DAY)
  await site.preload(['reg.test/team/both:v1'], { platforms: ['linux/amd64'] })
  return site
}

test('images are a table with sizes and times that people can read', async () => {
  await using site = await start()
  const { code, stdout, stderr } = await larder(['ls', '--server', site.app.adminUrl])
  assert.equal(code, 0, stderr)
  const [header, ...rows] = stdout.trimEnd().split('\n')
  assert.match(header ?? '', /^NAME +SIZE +SHARED +PULLS +LAST USE +PLATFORMS +STATE$/)
  const time = String.raw`20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ`
  const expected = [
    String.raw`reg\.test/team/app:large +200 KiB +4\.0 KiB +0 +${time} +linux/amd64 +complete, pinned`,
    String.raw`reg\.test/team/app:little \(\+1\) +4\.\d KiB +4\.0 KiB +0 +${time} +linux/amd64 +complete`,
    String.raw`reg\.test/team/both:v1 +9\.\d KiB +- +0 +${time} +linux/amd64 +1 of 2 platforms`,
  ]
  assert.equal(rows.length, expected.length, stdout)
  for (const [i, row] of rows.entries()) assert.match(row, new RegExp(`^${expected[i]}$`))
})

test('they are chosen, ordered, and given as names for other commands, or as JSON', async () => {
  await using site = await start()
  const names = async (...args: readonly string[]) => {
    const ended = await larder(['ls', '-o', 'name', '--server', site.app.adminUrl, ...args])
    assert.equal(ended.code, 0, ended.stderr)
    return ended.stdout.replaceAll('reg.test/team/', '').trimEnd().split('\n')
  }
  assert.deepEqual(await names('--sort', 'size'), ['app:large', 'both:v1', 'app:little'])
  assert.deepEqual(await names('--sort', 'last-use'), ['both:v1', 'app:large', 'app:little'])
  assert.deepEqual(await names('--sort', 'size', '--limit', '1'), ['app:large'])
  assert.deepEqual(await names('reg.test/team/app:*l*'), ['app:large', 'app:little'])
  assert.deepEqual(await names('--unused-for', '36h'), ['app:little'])
  const json = await larder(['ls', 'both', '-o', 'json', '--server', site.app.adminUrl])
  const { images } = JSON.parse(json.stdout)
  assert.deepEqual(
    images.map(({ tags, complete }: { tags: string[]; complete: boolean }) => [tags, complete]),
    [[['v1'], false]],
  )
})

test('a pattern that nothing matches is exit 6, an empty cache is none', async () => {
  await using site = await PreloadSite.start()
  const args = ['--server', site.app.adminUrl]
  assert.deepEqual(await larder(['ls', ...args]), {
    code: 0,
    stdout: '',
    stderr: 'nothing is here\n',
  })
  assert.deepEqual(await larder(['ls', 'nginx', ...args]), {
    code: 6,
    stdout: '',
    stderr: 'nothing here is nginx\n',
  })
  const wrong = await larder(['ls', '--unused-for', '30', ...args])
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /unusedFor: /)
  assert.equal((await larder(['ls', '--limit', '0', ...args])).code, 2)
})

test('more images than a page has are all listed, in the order of the pages', async () => {
  await using site = await Site.start()
  const all = Array.from({ length: 1_100 }, (_, i) => imageNamed(`reg.test/app:${i}`))
  const limits: number[] = []
  site.ports.images.list = async ({ limit, after }) => {
    limits.push(limit)
    const from = after === undefined ? 0 : after.value
    const value = from + limit
    const next = { upstream: 'reg.test', repository: 'app', reference: 'x', value }
    return { images: all.slice(from, value), next: value < all.length ? next : undefined }
  }
  const names = async (...args: readonly string[]) => {
    const { stdout } = await larder(['ls', '-o', 'name', '--server', site.url, ...args])
    return stdout.trimEnd().split('\n')
  }
  const expected = all.map(({ name }) => name)
  assert.deepEqual(await names(), expected)
  assert.deepEqual(await names('--limit', '700'), expected.slice(0, 700))
  assert.deepEqual(limits, [500, 500, 500, 500, 200])
})

test('a store that no server has is listed as a server would list it', async () => {
  await using site = await start()
  const list = (...args: readonly string[]) => larder(['ls', '--sort', 'size', ...args])
  const online = await list('--server', site.app.adminUrl)
  await site.app.restart({}, async () => {
    assert.deepEqual(await list('--data-dir', site.app.dataDir), online)
  })
})

test('what it can do is said with examples', async () => {
  const { code, stdout } = await spawnLarder(['ls', '--help'])
  assert.equal(code, 0)
  for (const said of ['Examples:', '--sort', '--unused-for', '--data-dir', 'Exit codes:']) {
    assert.ok(stdout.includes(said), said)
  }
})
