import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { NoRoomError } from '../../src/store/errors.ts'
import { runs } from '../pull/runs.ts'
import {
  type CappedSite,
  HOUR,
  layerOf,
  openCappedSite,
  pullImage,
  pullManifest,
} from './capped-site.ts'

const KIB = 1024
const CAP = 300 * KIB
const IMAGES = 6
const LAYERS = 8

/** Which layers each image has. Layers are shared, and of very different sizes. */
const images = fc.array(fc.uniqueArray(fc.nat(LAYERS - 1), { minLength: 1, maxLength: 4 }), {
  minLength: IMAGES,
  maxLength: IMAGES,
})
const image = fc.nat(IMAGES - 1)
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('pull' as const), image }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('use' as const), image }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pin' as const), image }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unpin' as const), image }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('read' as const), image }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), image }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('index' as const), image }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('shrink' as const), image }) },
)

interface Row {
  readonly digest: Digest
  readonly size: number
  readonly usedAt: number
}

/** All that is known of the store at one moment. */
function look(site: CappedSite) {
  const rows = site.database
    .prepare<[], Row>('select digest, size, last_used_at as usedAt from blobs')
    .all()
  const here = new Map(rows.map((row) => [row.digest, row]))
  const listed = site.database
    .prepare<[], { parent: Digest; child: Digest }>('select parent, child from manifest_children')
    .all()
  const children = Map.groupBy(listed, ({ parent }) => parent)
  const isRoot = (digest: Digest) =>
    !listed.some(({ parent, child }) => child === digest && here.has(parent))
  /** Itself, and what it lists, and what that lists. */
  const reach = (digest: Digest): Digest[] => [
    digest,
    ...(children.get(digest) ?? []).flatMap(({ child }) => reach(child)),
  ]
  return { here, children, isRoot, reach }
}

test('whatever is pulled, used, pinned and read: the cap holds, and only what may go goes', async () => {
  await fc.assert(
    fc.asyncProperty(
      images,
      fc.array(step, { minLength: 8, maxLength: 20 }),
      async (all, steps) => {
        await using site = await openCappedSite({ cap: CAP })
        const known = new Map<number, Digest>()
        const reads = new Map<Digest, () => void>()
        for (const one of steps) {
          const before = look(site)
          await take(site, one, all, known, reads)
          await site.admission.idle()
          const after = look(site)

          const bytes = after.here.values().reduce((sum, { size }) => sum + size, 0)
          assert.ok(bytes <= CAP, `${bytes} bytes`)
          assert.equal(site.quota.usedBytes, bytes)
          let files = 0
          for await (const { digest, size } of site.files.scan()) {
            files++
            assert.equal(after.here.get(digest)?.size, size)
          }
          assert.equal(files, after.here.size, 'as many files as rows')
          assert.deepEqual(await site.files.listParts(), [])

          const gone = [...before.here.values()].filter(({ digest }) => !after.here.has(digest))
          for (const { digest } of gone) {
            assert.ok(!site.pins.has(digest), 'pinned content stays')
            assert.ok(!site.leases.has(digest), 'content that is read stays')
            for (const [parent, listed] of after.children) {
              const isKept = after.here.has(parent) && listed.some(({ child }) => child === digest)
              assert.ok(!isKept, 'what a kept manifest lists stays')
            }
          }
          const roots = gone.filter(({ digest }) => before.isRoot(digest))
          const youngest = Math.max(0, ...roots.map(({ usedAt }) => usedAt))
          for (const { digest, usedAt } of before.here.values()) {
            if (!after.here.has(digest) || !before.isRoot(digest) || usedAt >= youngest) continue
            const isExcused =
              site.pins.has(digest) || before.reach(digest).some((part) => site.leases.has(part))
            assert.ok(isExcused, 'what was not used for longer goes first')
          }
        }
      },
    ),
    runs(15),
  )
})

async function take(
  site: CappedSite,
  { do: what, image: number }: { readonly do: string; readonly image: number },
  all: readonly (readonly number[])[],
  known: Map<number, Digest>,
  reads: Map<Digest, () => void>,
): Promise<void> {
  const manifest = known.get(number)
  site.time.elapsed += 60_000
  site.time.now += 2 * HOUR
  switch (what) {
    case 'pull': {
      const layers = (all[number] ?? []).map((layer) => [`${layer}`, (1 + layer ** 2) * 2 * KIB])
      try {
        known.set(
          number,
          (await pullImage(site, `v${number}`, Object.fromEntries(layers))).manifest,
        )
      } catch (error) {
        if (!(error instanceof NoRoomError)) throw error
      }
      return
    }
    case 'use':
      if (manifest !== undefined) await site.catalog.touch(new Map([[manifest, site.time.now]]))
      return
    case 'pin':
      if (manifest !== undefined) site.pins.add(manifest)
      return
    case 'unpin':
      if (manifest !== undefined) site.pins.delete(manifest)
      return site.eviction.lookAgain()
    case 'read': {
      const layer = digestOf(
        layerOf(`${all[number]?.[0]}`, (1 + (all[number]?.[0] ?? 0) ** 2) * 2 * KIB),
      )
      if (!reads.has(layer)) reads.set(layer, await site.leases.hold(layer))
      return
    }
    case 'end': {
      const [first] = reads
      if (first === undefined) return
      first[1]()
      reads.delete(first[0])
      return
    }
    case 'index': {
      const listed = [...known.values()].slice(0, 2)
      const children = listed.map((digest) => ({ digest, size: 1, kind: 'manifest' }) as const)
      if (children.length > 0) await pullManifest(site, { children, note: `${number}` })
      return
    }
    default: {
      const gained = await site.eviction.gain(40 * KIB)
      assert.ok(gained === undefined || gained.bytes >= 40 * KIB, 'what was planned is gained')
    }
  }
}
