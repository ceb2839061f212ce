import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import type { UpstreamConfig } from '../../src/config/config.ts'
import { createLogger } from '../../src/log.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseRepository } from '../../src/oci/reference.ts'
import { Blobs } from '../../src/pull/blobs.ts'
import type { Content } from '../../src/pull/content.ts'
import { Epochs } from '../../src/pull/epochs.ts'
import { Negatives } from '../../src/pull/negatives.ts'
import type { Pull } from '../../src/pull/pull.ts'
import { Restoration } from '../../src/pull/restoration.ts'
import { NoRoomError } from '../../src/store/errors.ts'
import { type CappedSite, layerOf, openCappedSite } from '../store/capped-site.ts'
import { integrityOf } from '../store/integrity-site.ts'
import { StubRegistry } from './stub-registry.ts'

const MIB = 1024 * 1024
const REPOSITORY = parseRepository('acme/app')

/** Pulls of blobs through a store with a cap. */
async function openCapped(cap: number) {
  const site = await openCappedSite({ cap })
  const registry = new StubRegistry()
  const { catalog, blobs } = site
  const { shelves, damage } = integrityOf(site, { maxBytes: 0 })
  const refusals: unknown[] = []
  const nothing = () => undefined
  const pulls = new Blobs({
    blobs,
    shelves,
    catalog,
    negatives: new Negatives(),
    epochs: new Epochs(),
    restoration: new Restoration(Promise.resolve()),
    damage,
    logger: createLogger({ level: 'silent', format: 'json' }),
    events: {
      used: nothing,
      fetched: nothing,
      downloaded: nothing,
      resumed: nothing,
      mismatched: nothing,
      broken: nothing,
      storeFailed: (_operation, error) => void refusals.push(error),
    },
    now: () => site.time.now,
    elapsed: () => performance.now(),
  })
  const pull: Pull = {
    upstream: { config: { tags: [] } as unknown as UpstreamConfig, registry },
    place: { upstream: 'test', repository: REPOSITORY },
    as: { kind: 'larder' },
  }
  const publish = (name: string, size: number): Digest => {
    const bytes = layerOf(name, size)
    registry.blobs.set(`${REPOSITORY} ${digestOf(bytes)}`, bytes)
    return digestOf(bytes)
  }
  /** To its last byte, and until it is stored or given up. */
  const open = async (digest: Digest) => {
    site.time.now += 1000
    site.time.elapsed += 20_000
    const { content, outcome } = await pulls.open(pull, digest)
    return { content, outcome }
  }
  const close = async () => {
    await pulls.stop()
    await site[Symbol.asyncDispose]()
  }
  return { site, registry, refusals, publish, open, pulls, [Symbol.asyncDispose]: close }
}

async function drain(content: Content, chunks: AsyncIterable<Uint8Array> = whole(content)) {
  const received: Uint8Array[] = []
  for await (const chunk of chunks) received.push(Buffer.from(chunk))
  return Buffer.concat(received)
}

/** A part is removed once its last reader has left, which nobody waits for. */
async function partsGone({ files }: CappedSite): Promise<void> {
  const endsAt = performance.now() + 10_000
  while ((await files.listParts()).length > 0) {
    assert.ok(performance.now() < endsAt, 'a part is left')
    await setImmediate()
  }
}

function whole(content: Content) {
  return content.read({ start: 0, end: content.size - 1 })
}

test('a blob that is larger than the cache streams through whole, and nothing else leaves', async () => {
  await using capped = await openCapped(4 * MIB)
  const { site, open, publish, pulls, refusals } = capped
  const small = publish('small', 2 * MIB)
  await drain((await open(small)).content)
  const huge = publish('huge', 30 * MIB)
  for (const result of ['miss', 'miss']) {
    const { content, outcome } = await open(huge)
    assert.equal(outcome.result, result)
    assert.equal(digestOf(await drain(content)), huge)
    await pulls.stop()
    await partsGone(site)
  }
  assert.equal(site.quota.usedBytes, 2 * MIB)
  assert.equal((await open(small)).outcome.result, 'hit')
  assert.ok(refusals.length > 0 && refusals.every((error) => error instanceof NoRoomError))
})

test('what has no room because nobody said how large it is streams through as well', async () => {
  await using capped = await openCapped(4 * MIB)
  const { site, registry, open, publish, pulls } = capped
  registry.announcesSizes = false
  const digest = publish('unannounced', 6 * MIB)
  const { content } = await open(digest)
  assert.equal(digestOf(await drain(content)), digest)
  await pulls.stop()
  await partsGone(site)
  assert.equal(site.quota.usedBytes, 0)
})

test('a blob that is being read stays while others come and go', async () => {
  await using capped = await openCapped(10 * MIB)
  const { site, open, publish, pulls } = capped
  const read = publish('read', 3 * MIB)
  await drain((await open(read)).content)
  // Until then it would be read from the memory of its download, and its file not be in use.
  await pulls.settled(read)
  await setImmediate()
  const { content } = await open(read)
  const reading = whole(content)
  const first = await reading.next()
  for (const name of ['b', 'c', 'd', 'e']) await drain((await open(publish(name, 3 * MIB))).content)
  await site.admission.idle()
  assert.ok(await site.files.stat(read), 'it was not used for longest, and is in use')
  const rest = await drain(content, reading)
  assert.equal(digestOf(Buffer.concat([first.value as Uint8Array, rest])), read)
  for (const name of ['f', 'g']) await drain((await open(publish(name, 3 * MIB))).content)
  await site.admission.idle()
  assert.equal(await site.files.stat(read), undefined)
  assert.ok(site.quota.usedBytes <= 10 * MIB)
})
