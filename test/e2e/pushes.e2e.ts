import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'

import { type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { type Containerd, startContainerd } from './containerd.ts'
import { writeOciLayout } from './oci-layout.ts'
import { PASSWORD, type RealRegistry, startRealRegistry, USER } from './real-registry.ts'
import { makeImage, makeIndex } from './site.ts'
import { skopeoInspect, skopeoPush, skopeoRaw } from './skopeo.ts'

const CREDENTIAL = `${USER}:${PASSWORD}`

/**
 * Pushed content belongs to whoever pushed it: the same credential is needed to pull it. It is the
 * default upstream because containerd sends `ns` with what it pulls, but not with what it pushes.
 */
function startWritable({ url, tokens }: RealRegistry): Promise<RunningLarder> {
  const realms = tokens === undefined ? {} : { trustedRealms: [new URL(tokens.realm).origin] }
  const access = { access: 'caller', allowPlainChallenge: true, writes: 'passthrough' }
  return startLarder({
    upstreams: [{ name: 'reg.test', url, default: true, ...access, ...realms }],
  })
}

describe('skopeo pushes through Larder to an open registry', () => {
  let registry: RealRegistry
  let larder: RunningLarder
  let host: string

  before(async () => {
    registry = await startRealRegistry('open')
    larder = await startWritable(registry)
    host = new URL(larder.url).host
  })

  after(async () => {
    await larder?.close()
    await registry?.stop()
  })

  test('an index with its images arrives byte for byte', async () => {
    await using dir = await makeTempDir('larder-e2e-push-')
    const index = makeIndex('pushed')
    await writeOciLayout(dir.path, { v1: index })
    await skopeoPush(`oci:${dir.path}:v1`, `${host}/reg.test/team/pushed:v1`)
    for (const where of [registry.host, `${host}/reg.test`]) {
      assert.equal(await skopeoRaw(`${where}/team/pushed:v1`), index.manifest.bytes.toString())
    }
  })

  test('a tag that is pushed again is new at once', async () => {
    await using dir = await makeTempDir('larder-e2e-push-')
    for (const seed of ['first', 'second']) {
      const image = makeImage(`pushed ${seed}`)
      const layout = join(dir.path, seed)
      await mkdir(layout)
      await writeOciLayout(layout, { v1: image })
      await skopeoPush(`oci:${layout}:v1`, `${host}/reg.test/team/moving:v1`)
      const { Digest } = await skopeoInspect(`${host}/reg.test/team/moving:v1`)
      assert.equal(Digest, image.manifest.digest)
    }
  })
})

for (const kind of ['htpasswd', 'token'] as const) {
  describe(`containerd pushes through Larder to upstream ${kind}`, () => {
    const image = makeImage(`${kind} pushed`)
    let registry: RealRegistry
    let larder: RunningLarder
    let containerd: Containerd

    before(async () => {
      registry = await startRealRegistry(kind)
      await registry.push('team/source', 'v1', image)
      larder = await startWritable(registry)
      containerd = await startContainerd()
      await containerd.setMirror('reg.test', larder.url)
      await containerd.pull('reg.test/team/source:v1', CREDENTIAL)
    })

    after(async () => {
      await containerd?.[Symbol.asyncDispose]()
      await larder?.close()
      await registry?.stop()
    })

    test('with its own credential, and pulls it back', async () => {
      const target = 'reg.test/team/target:v1'
      await containerd.push('reg.test/team/source:v1', target, CREDENTIAL)
      const pushed = await skopeoRaw(`${registry.host}/team/target:v1`, CREDENTIAL)
      assert.equal(pushed, image.manifest.bytes.toString())
      await containerd.pull(target, CREDENTIAL)
    })

    test('not with a wrong credential, nor with none', async () => {
      const push = (credential?: string) =>
        containerd.push('reg.test/team/source:v1', 'reg.test/team/refused:v1', credential)
      await assert.rejects(push(`${USER}:guessed`))
      await assert.rejects(push())
      await assert.rejects(skopeoRaw(`${registry.host}/team/refused:v1`, CREDENTIAL), /unknown/)
    })
  })
}
