import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Digest } from '../../src/oci/digest.ts'
import { parseReference, referrersTag } from '../../src/oci/reference.ts'
import { Barrier } from '../support/barrier.ts'
import { buildArtifact, buildImage, buildIndex } from '../support/images.ts'
import { refusal } from './flights.ts'
import { openRooms } from './rooms.ts'
import { upstreamError } from './scripted-source.ts'

const HOUR = 3_600_000
const IMAGE = buildImage()
const SUBJECT: Digest = IMAGE.manifest.digest
const SIGNATURE = buildArtifact({ artifactType: 'a/signature', subject: IMAGE.descriptor })

test('tags come in byte order, each once, and are fresh for half a minute', async () => {
  await using rooms = await openRooms()
  const { registry, lists } = rooms
  registry.tags.set('acme/app', ['v2', 'a', 'v10', 'Z', 'a'])
  const first = await lists.tags(rooms.pull())
  assert.deepEqual(first.items, ['Z', 'a', 'v10', 'v2'])
  assert.equal(first.outcome.result, 'miss')
  rooms.now += 30_000
  assert.deepEqual((await lists.tags(rooms.pull())).outcome, { result: 'hit', ageSeconds: 30 })
  rooms.now += 1
  assert.equal((await lists.tags(rooms.pull())).outcome.result, 'miss')
  assert.equal(registry.count('listTags'), 2)
})

test('50 who ask for a list cause one request', async () => {
  await using rooms = await openRooms()
  const { registry, lists } = rooms
  registry.tags.set('acme/app', ['v1'])
  const barrier = new Barrier()
  registry.before = () => barrier.wait()
  const all = Array.from({ length: 50 }, () => lists.tags(rooms.pull()))
  await barrier.arrived()
  barrier.release()
  const results = (await Promise.all(all)).map(({ outcome }) => outcome.result)
  assert.equal(results.filter((one) => one === 'coalesced').length, 49)
  assert.equal(registry.count('listTags'), 1)
})

test('in an outage the last list is served up to staleIfError, then nothing is said', async () => {
  await using rooms = await openRooms({ staleIfErrorMs: HOUR })
  const { registry, lists } = rooms
  registry.tags.set('acme/app', ['v1'])
  await lists.tags(rooms.pull())
  registry.before = () => {
    throw upstreamError('unreachable')
  }
  rooms.now += HOUR
  const stale = await lists.tags(rooms.pull())
  assert.deepEqual(stale.items, ['v1'])
  assert.deepEqual(stale.outcome, {
    result: 'stale',
    ageSeconds: 3600,
    warning: 'it is unreachable',
  })
  rooms.now += 1
  await assert.rejects(lists.tags(rooms.pull()), refusal('UPSTREAM_FAILED', 502))
})

test('in an outage with no list, the tags that are here are listed; with none, none is invented', async () => {
  await using rooms = await openRooms()
  const { registry, lists, manifests } = rooms
  registry.put('acme/app', IMAGE.manifest, 'v1', 'v0')
  for (const tag of ['v1', 'v0']) await manifests.get(rooms.pull(), parseReference(tag))
  registry.before = () => {
    throw upstreamError('timeout')
  }
  assert.deepEqual((await lists.tags(rooms.pull())).items, ['v0', 'v1'])
  await assert.rejects(lists.tags(rooms.pull('other/app')), refusal('UPSTREAM_FAILED', 504))
})

for (const [kind, code] of [
  ['unknown', 'NAME_UNKNOWN'],
  ['denied', 'DENIED'],
] as const) {
  test(`${kind} is an answer, whatever list is here`, async () => {
    await using rooms = await openRooms()
    const { registry, lists } = rooms
    registry.tags.set('acme/app', ['v1'])
    await lists.tags(rooms.pull())
    rooms.now += HOUR
    registry.before = () => {
      throw upstreamError(kind, 404)
    }
    for (let i = 0; i < 3; i++) await assert.rejects(lists.tags(rooms.pull()), refusal(code))
    assert.equal(registry.count('listTags'), 2)
  })
}

test('referrers come by the API, else by the tag schema, where 404 means none', async () => {
  await using rooms = await openRooms()
  const { registry, lists } = rooms
  registry.referrers.set(`api/app ${SUBJECT}`, [SIGNATURE.descriptor])
  registry.put('tag/app', buildIndex([SIGNATURE]).manifest, referrersTag(SUBJECT))
  for (const [repository, expected] of [
    ['api/app', [SIGNATURE.manifest.digest]],
    ['tag/app', [SIGNATURE.manifest.digest]],
    ['none/app', []],
  ] as const) {
    const { items } = await lists.referrers(rooms.pull(repository), SUBJECT)
    assert.deepEqual(
      items.map(({ digest }) => digest),
      expected,
      repository,
    )
  }
})

test('in an outage the referrers that are here are listed, and an empty list never', async () => {
  await using rooms = await openRooms()
  const { registry, lists, manifests } = rooms
  registry.put('acme/app', SIGNATURE.manifest)
  await manifests.get(rooms.pull(), parseReference(SIGNATURE.manifest.digest))
  registry.before = () => {
    throw upstreamError('unreachable')
  }
  const { items } = await lists.referrers(rooms.pull(), SUBJECT)
  assert.deepEqual(
    items.map(({ digest, artifactType }) => [digest, artifactType]),
    [[SIGNATURE.manifest.digest, 'a/signature']],
  )
  await assert.rejects(
    lists.referrers(rooms.pull('other/app'), SUBJECT),
    refusal('UPSTREAM_FAILED', 502),
  )
})

test('what was pushed is listed at once', async () => {
  await using rooms = await openRooms()
  const { registry, lists } = rooms
  registry.tags.set('acme/app', ['v1'])
  await lists.tags(rooms.pull())
  registry.tags.set('acme/app', ['v1', 'v2'])
  rooms.epochs.begin(rooms.pull().place)
  await lists.forget(rooms.pull().place)
  assert.deepEqual((await lists.tags(rooms.pull())).items, ['v1', 'v2'])
})
