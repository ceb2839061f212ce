import assert from 'node:assert/strict'
import { test } from 'node:test'

import { printable, printableJson } from '../../src/cli/printable.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { attestedIndex, PreloadSite } from '../airgap/site.ts'
import { EXPIRED } from '../support/app.ts'
import { buildArtifact, buildImage } from '../support/images.ts'
import { larder } from './admin.ts'

const V1 = 'reg.test/team/app:v1'
/** Moves the cursor, turns what follows around, clears the screen. */
const HOSTILE = 'a\u001b[2Jb\u202ec\u009b1Ad\r\ne\u0007'

test('an image is shown with its layers, its signatures and what its tag was', async () => {
  await using site = await PreloadSite.start({ upstream: { tags: EXPIRED } })
  const before = buildImage({ seed: 'before' })
  const image = buildImage({ seed: 'now', layers: [5000] })
  const { descriptor: subject } = image
  site.registry.add('team/app', before, 'v1')
  await site.preload([V1])
  site.registry.add('team/app', image, 'v1')
  site.registry.add('team/app', buildArtifact({ artifactType: 'test/signature', subject }))
  await site.preload([V1], { referrers: true })
  const { code, stdout, stderr } = await larder(['inspect', V1, '--server', site.app.adminUrl])
  assert.equal(code, 0, stderr)
  assert.match(stdout, /^name {6}reg\.test\/team\/app:v1$/m)
  assert.match(stdout, new RegExp(`^digest {4}${image.manifest.digest}$`, 'm'))
  assert.match(stdout, /^state {5}complete$/m)
  assert.match(
    stdout,
    new RegExp(`^  ${image.layers[0]?.digest} +4\\.9 KiB +yes +application`, 'm'),
  )
  assert.match(stdout, /^sha256:\w{64} +\d+ B +test\/signature$/m)
  assert.match(stdout, new RegExp(`^WAS[^]*${before.manifest.digest} +20`, 'm'))
})

test('of an index every platform is shown, and which of them are here', async () => {
  await using site = await PreloadSite.start()
  const { index, amd, arm } = attestedIndex('index')
  site.registry.add('team/app', index, 'v1')
  await site.preload([V1], { platforms: ['linux/amd64'] })
  const { stdout } = await larder(['inspect', V1, '--server', site.app.adminUrl])
  assert.match(stdout, /^state {5}1 of 2 platforms$/m)
  assert.match(stdout, new RegExp(`^linux/amd64  ${amd.manifest.digest}\n.*\n.* yes `, 'm'))
  assert.match(stdout, new RegExp(`^linux/arm64  ${arm.manifest.digest}\n.*\n.* no `, 'm'))
})

test('--raw is the manifest byte by byte, with or without a server', async () => {
  await using site = await PreloadSite.start()
  const image = buildImage({ annotations: { hostile: HOSTILE } })
  site.registry.add('team/app', image, 'v1')
  await site.preload([V1])
  const online = await larder(['inspect', V1, '--raw', '--server', site.app.adminUrl])
  assert.equal(digestOf(Buffer.from(online.stdout)), image.manifest.digest)
  await site.app.restart({}, async () => {
    const files = {
      'larder.yaml': 'upstreams: [{name: reg.test, url: "https://reg.test", access: public}]',
    }
    const args = ['inspect', V1, '--raw', '--data-dir', site.app.dataDir, '-c', 'larder.yaml']
    assert.deepEqual(await larder(args, { files }), online)
  })
})

test('nothing that a registry says steers the terminal', async () => {
  await using site = await PreloadSite.start()
  const platform = { os: `linux${HOSTILE}`, architecture: 'amd64' }
  const image = buildImage({ platform, annotations: { [`key${HOSTILE}`]: HOSTILE } })
  site.registry.add('team/app', image, 'v1')
  await site.preload([V1])
  for (const args of [
    ['ls'],
    ['inspect', V1],
    ['ls', '-o', 'json'],
    ['inspect', V1, '-o', 'json'],
  ]) {
    const { code, stdout } = await larder([...args, '--server', site.app.adminUrl])
    assert.equal(code, 0)
    assert.doesNotMatch(stdout, /[^\P{Cc}\n]|\p{Cf}/u, args.join(' '))
    assert.ok(stdout.includes('\\u001b[2Jb\\u202ec\\u009b1Ad'), args.join(' '))
  }
  const { stdout } = await larder(['inspect', V1, '-o', 'json', '--server', site.app.adminUrl])
  assert.equal(JSON.parse(stdout).annotations[`key${HOSTILE}`], HOSTILE)
})

test('what is escaped is still the same JSON, whatever is in it', () => {
  assert.equal(printable('plain text: ü, 漢, 🙂'), 'plain text: ü, 漢, 🙂')
  assert.equal(printable('\u{e0001}\t\u2028'), '\\udb40\\udc01\\u0009\\u2028')
  const value = { [HOSTILE]: [HOSTILE, '\u{e0001}', 'a\\u001b', '\u00ad"\\'] }
  assert.deepEqual(JSON.parse(printableJson(value)), value)
})

test('what is not here is exit 6, and what is no image is exit 2', async () => {
  await using site = await PreloadSite.start()
  const args = ['--server', site.app.adminUrl]
  const absent = await larder(['inspect', V1, ...args])
  assert.equal(absent.code, 6)
  assert.match(absent.stderr, /^reg\.test\/team\/app:v1 is not here/)
  assert.equal((await larder(['inspect', 'else.test/app:v1', ...args])).code, 6)
  assert.equal((await larder(['inspect', 'Not An Image', ...args])).code, 2)
  assert.equal((await larder(['inspect', 'reg.test/../pins', ...args])).code, 2)
})
