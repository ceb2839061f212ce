import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { send } from '../support/http-client.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { type Containerd, startContainerd } from './containerd.ts'
import { PASSWORD, type RealRegistry, startRealRegistry, USER } from './real-registry.ts'
import { makeImage, pullColdThenWarm } from './site.ts'

const POD = { username: USER, password: PASSWORD }
const STRANGER = { username: USER, password: 'guessed' }
const image = makeImage('private')
const REFERENCE = 'reg.test/team/private:v1'

let registry: RealRegistry
let larder: RunningLarder
let containerd: Containerd

before(async () => {
  registry = await startRealRegistry('htpasswd')
  await registry.push('team/private', 'v1', image)
  const access = { access: 'caller', allowPlainChallenge: true }
  larder = await startLarder({ upstreams: [{ name: 'reg.test', url: registry.url, ...access }] })
  containerd = await startContainerd()
  await containerd.setMirror('reg.test', larder.url)
})

after(async () => {
  await containerd?.[Symbol.asyncDispose]()
  await larder?.close()
  await registry?.stop()
})

test('a pod with its imagePullSecret pulls a private image, cold and warm', async () => {
  await assert.rejects(
    containerd.cri.pullImage(REFERENCE),
    /authorization|unauthorized|denied|401/i,
  )
  await pullColdThenWarm({
    registry,
    manifests: [image.manifest.digest],
    blobs: [...image.blobs.keys()],
    pull: async () => {
      assert.equal(await containerd.cri.pullImage(REFERENCE, POD), image.config.digest)
    },
    forget: () => containerd.cri.removeImage(REFERENCE),
  })
  await containerd.cri.removeImage(REFERENCE)
})

test('what is cached is not for a pod without a secret, nor for one with a wrong one', async () => {
  await assert.rejects(containerd.cri.pullImage(REFERENCE))
  await assert.rejects(containerd.cri.pullImage(REFERENCE, STRANGER))
  assert.deepEqual(await containerd.listContent('k8s.io'), [])
})

test('no digest of it is to be had by whoever merely knows it', async () => {
  const { digest } = image.manifest
  const paths = [...image.blobs.keys()].map((blob) => `blobs/${blob}`)
  for (const path of ['manifests/v1', `manifests/${digest}`, 'tags/list', ...paths]) {
    for (const method of ['GET', 'HEAD']) {
      for (const range of [undefined, 'bytes=0-0']) {
        const options = { method, ...(range === undefined ? {} : { range }) }
        const url = `/v2/team/private/${path}?ns=reg.test`
        const { status, headers } = await send(larder.url, url, options)
        assert.equal(status, 401, `${method} ${path}`)
        assert.match(headers['www-authenticate'] ?? '', /^Basic /)
        assert.equal(headers['docker-content-digest'], undefined)
      }
    }
  }
})

test('a secret that was sent is in no log', () => {
  const text = JSON.stringify(larder.logs())
  for (const { username, password } of [POD, STRANGER]) {
    assert.equal(text.includes(password), false)
    assert.equal(text.includes(Buffer.from(`${username}:${password}`).toString('base64')), false)
  }
})
