/** Whoever holds a content, and then looks whether it is here, must not see what is just going. */
import assert from 'node:assert/strict'
import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'

import { Holds } from '../../src/airgap/holds.ts'
import { Surveyor } from '../../src/airgap/survey.ts'
import { type Digest, digestOf, encodedOf } from '../../src/oci/digest.ts'
import { Barrier } from '../support/barrier.ts'
import { interceptFiles } from '../support/fs-faults.ts'
import { type CappedSite, DAY, HUB, layerOf, openCappedSite, pullImage } from './capped-site.ts'

const SIZE = 1000
const LAYER = layerOf('layer', SIZE)
const DIGEST = digestOf(LAYER)

interface Way {
  readonly name: string
  /** Has {@link LAYER} here. @returns the image that it is of, if any */
  readonly fill: (site: CappedSite) => Promise<Digest | undefined>
  readonly remove: (site: CappedSite) => Promise<unknown>
}

const fillImage = async (site: CappedSite) =>
  (await pullImage(site, 'v1', { layer: SIZE })).manifest
const purge = (site: CappedSite) =>
  site.purge.run({ kind: 'upstream', upstream: 'docker.io' }, { force: true })

const WAYS: readonly Way[] = [
  { name: 'rows first', fill: fillImage, remove: purge },
  {
    name: 'files first, as the database refuses',
    fill: fillImage,
    async remove(site) {
      site.database.pragma('query_only = on')
      await site.eviction.reduce(SIZE).finally(() => site.database.pragma('query_only = off'))
    },
  },
  {
    name: 'a file without a row',
    async fill(site) {
      await site.files.put(DIGEST, LAYER)
      const hex = encodedOf(DIGEST)
      const longAgo = new Date(site.time.now - 2 * DAY)
      await utimes(join(site.path, 'blobs/sha256', hex.slice(0, 2), hex), longAgo, longAgo)
      return undefined
    },
    remove: (site) => site.garbage.collect(),
  },
]

for (const { name, fill, remove } of WAYS) {
  test(`what is held is not on its way out any more: ${name}`, async () => {
    await using site = await openCappedSite({ cap: 1024 * SIZE })
    await fill(site)
    await using removing = await standStill(() => remove(site))
    let isHeld = false
    const held = site.leases.hold(DIGEST).then((release) => {
      isHeld = true
      return release
    })
    const begun = site.blobs.ingest(DIGEST)
    await setImmediate()
    assert.equal(isHeld, false)
    assert.equal(await site.files.stat(DIGEST), SIZE)
    await removing.end()
    const release = await held
    assert.equal(await site.files.stat(DIGEST), undefined)
    await (await begun).discard()
    release()
    assert.equal(site.leases.has(DIGEST), false)
  })
}

for (const { name, fill, remove } of WAYS.slice(0, 2)) {
  test(`a survey that holds takes nothing for here that is going: ${name}`, async () => {
    await using site = await openCappedSite({ cap: 1024 * SIZE })
    const image = await fill(site)
    assert.ok(image !== undefined)
    const { catalog, files } = site
    const looked: Digest[] = []
    const look = <T>(digest: Digest, answer: Promise<T>) => {
      looked.push(digest)
      return answer
    }
    const surveyor = new Surveyor({
      catalog,
      blobs: {
        stat: (digest) => look(digest, files.stat(digest)),
        read: (digest, maxBytes) => look(digest, files.read(digest, maxBytes)),
      },
    })
    const holds = new Holds(site.leases)
    const common = { place: HUB, digest: image, platforms: 'all', referrers: false } as const
    await using removing = await standStill(() => remove(site))
    const held = surveyor.survey({ ...common, hold: (one) => holds.hold(one) })
    await setImmediate()
    assert.deepEqual(looked, [])
    await removing.end()
    assert.deepEqual((await held).here, [])
    await holds.release()
    assert.equal(site.leases.has(image), false)
  })
}

/** Has the deletion that is begun stop before its first file. */
async function standStill(remove: () => Promise<unknown>) {
  const barrier = new Barrier()
  const files = await interceptFiles((operation, path = '') =>
    operation === 'unlink' && path.includes('/blobs/') ? barrier.wait() : undefined,
  )
  const removal = remove()
  await barrier.arrived()
  const end = async () => {
    barrier.release()
    await removal
  }
  return {
    end,
    async [Symbol.asyncDispose]() {
      await end()
      files[Symbol.dispose]()
    },
  }
}
