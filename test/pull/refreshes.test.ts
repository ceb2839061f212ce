import assert from 'node:assert/strict'
import { test } from 'node:test'

import { parseReference, parseRepository, type Tag } from '../../src/oci/reference.ts'
import { Epochs } from '../../src/pull/epochs.ts'
import type { PulledManifest } from '../../src/pull/tag-checks.ts'
import type { Place } from '../../src/store/ports.ts'
import { Barrier } from '../support/barrier.ts'
import { buildImage } from '../support/images.ts'
import { ALWAYS, BEHIND, caller, openRooms, type Rooms } from './rooms.ts'
import { upstreamError } from './scripted-source.ts'

const HOUR = 3_600_000
const V1 = parseReference('v1')
const ONE = buildImage({ seed: 'one' }).manifest
const TWO = buildImage({ seed: 'two' }).manifest

/** `acme/app:v1` is in the cache and two hours old, and the registry has moved it. */
async function openMoved(): Promise<Rooms> {
  const rooms = await openRooms({ rule: BEHIND })
  rooms.registry.put('acme/app', ONE, 'v1')
  await rooms.manifests.get(rooms.pull(), V1)
  rooms.registry.put('acme/app', TWO, 'v1')
  rooms.registry.asked.length = 0
  rooms.now += 2 * HOUR
  return rooms
}

function assertBehind({ digest, outcome }: PulledManifest, isRefreshing = true): void {
  assert.equal(digest, ONE.digest)
  const times = { ageSeconds: 7200, staleSeconds: 3600 }
  assert.deepEqual(outcome, { result: 'hit', isRefreshing, ...times })
}

test('100 who ask for a tag that may be refreshed behind wait for nobody, and one question is asked', async () => {
  await using rooms = await openMoved()
  const { registry, manifests } = rooms
  const barrier = new Barrier()
  registry.before = () => barrier.wait()
  const names = Array.from({ length: 50 }, (_, index) => caller(`user ${index}`))
  for (let i = 0; i < 50; i++) assertBehind(await manifests.get(rooms.pull(), V1))
  for (const as of names) assertBehind(await manifests.get(rooms.pull('acme/app', as), V1))
  await barrier.arrived()
  assert.deepEqual(registry.asked, ['headManifest acme/app v1'])
  barrier.release()
  await until(() => registry.asked.length === 2)
  assert.deepEqual(registry.asked[1], `getManifest acme/app ${TWO.digest}`)
  await until(
    async () =>
      (await rooms.catalog.getTag(rooms.pull().place, 'v1' as Tag))?.digest === TWO.digest,
  )
  const next = await manifests.get(rooms.pull(), V1)
  assert.equal(next.digest, TWO.digest)
  assert.deepEqual(next.outcome, { result: 'hit', ageSeconds: 0 })
  assert.equal(registry.asked.length, 2, 'the new manifest is here already')
})

test('who must wait joins the question that is asked behind', async () => {
  await using rooms = await openMoved()
  const { registry, manifests } = rooms
  const barrier = new Barrier()
  registry.before = () => barrier.wait()
  assertBehind(await manifests.get(rooms.pull(), V1))
  await barrier.arrived()
  rooms.follow(ALWAYS)
  const waiting = manifests.get(rooms.pull(), V1)
  barrier.release()
  assert.equal((await waiting).digest, TWO.digest)
  assert.equal(registry.count('headManifest'), 1)
})

test('while a registry is scarce nothing is refreshed behind, and what is too old is asked for', async () => {
  await using rooms = await openMoved()
  rooms.registry.scarce = true
  assertBehind(await rooms.manifests.get(rooms.pull(), V1), false)
  assert.deepEqual(rooms.registry.asked, [])
  rooms.now += 48 * HOUR
  assert.equal((await rooms.manifests.get(rooms.pull(), V1)).digest, TWO.digest)
})

for (const error of [
  upstreamError('unreachable'),
  upstreamError('denied', 403),
  new Error('bug'),
]) {
  test(`what goes wrong behind an answer harms nobody: ${error.message}`, async () => {
    await using rooms = await openMoved()
    rooms.registry.before = () => {
      throw error
    }
    assertBehind(await rooms.manifests.get(rooms.pull(), V1))
    await until(() => rooms.lines.length > 0)
    const [level, line] = rooms.lines[0] ?? []
    assert.equal(level, error.message === 'bug' ? 'warn' : 'debug')
    const { upstream, repository, tag } = { ...line } as Record<string, string>
    assert.deepEqual([upstream, repository, tag], ['test', 'acme/app', 'v1'])
  })
}

test('a no that was said behind an answer is remembered: the next one is asked for first', async () => {
  await using rooms = await openMoved()
  rooms.registry.manifests.clear()
  assertBehind(await rooms.manifests.get(rooms.pull(), V1))
  await until(() => rooms.lines.length > 0)
  const { outcome, digest } = await rooms.manifests.get(rooms.pull(), V1)
  assert.equal(digest, ONE.digest)
  assert.equal(outcome.result, 'stale')
  assert.equal(rooms.registry.asked.length, 1, 'within ten seconds it is not asked again')
})

test('a stop gives up what is asked behind, waits for its end, and begins no more', async () => {
  await using rooms = await openMoved()
  const { registry, manifests } = rooms
  const barrier = new Barrier()
  registry.before = (_method, _as, signal) =>
    new Promise<void>((_resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
      void barrier.wait()
    })
  assertBehind(await manifests.get(rooms.pull(), V1))
  await barrier.arrived()
  await manifests.stop()
  assert.equal(rooms.lines.length, 1)
  assertBehind(await manifests.get(rooms.pull(), V1), false)
  assert.equal(registry.asked.length, 1)
})

test('an upstream that is configured otherwise begins anew everywhere', () => {
  const epochs = new Epochs()
  const [one, two] = [placeIn('test', 'acme/one'), placeIn('test', 'acme/two')]
  const other = placeIn('other', 'acme/one')
  epochs.begin(one)
  const before = [epochs.of(one), epochs.of(two), epochs.of(other)]
  epochs.beginAll('test')
  assert.ok(epochs.of(one) > (before[0] ?? 0))
  assert.ok(epochs.of(two) > (before[1] ?? 0))
  assert.equal(epochs.of(other), before[2])
  const all = epochs.of(one)
  epochs.begin(two)
  assert.equal(epochs.of(one), all)
  assert.ok(epochs.of(two) > all)
})

test('an epoch does not go back when a place is forgotten for want of room', () => {
  const epochs = new Epochs()
  const place = placeIn('test', 'acme/first')
  epochs.begin(place)
  const begun = epochs.of(place)
  for (let i = 0; i < 50_001; i++) epochs.begin(placeIn('test', `acme/r${i}`))
  assert.ok(epochs.of(place) >= begun)
})

function placeIn(upstream: string, repository: string): Place {
  return { upstream, repository: parseRepository(repository) }
}

/** Lets what is under way go on until it is so; throws when that does not come. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const endsAt = performance.now() + 10_000
  while (!(await isSo())) {
    if (performance.now() > endsAt) throw new Error('waited in vain')
    await new Promise((resolve) => setImmediate(resolve))
  }
}
