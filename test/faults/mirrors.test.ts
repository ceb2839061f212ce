/** Rows 3, 5 and 7 of the fault table, of a mirror whose registry could do better. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { putBlob, type Site, startSite } from '../pull/site.ts'
import { Barrier } from '../support/barrier.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { corrupt, cut, type Fault, stall } from '../support/faults.ts'
import { AT_ONCE_MS, assertCounted, assertKept, assertWhole, OPEN, within } from './evidence.ts'

const MIB = 1024 * 1024
const SIZE = 2 * MIB + 7

interface Mirrored extends Site {
  readonly mirror: FaultRegistry
}

const BROKEN: Readonly<Record<string, (silence: Barrier) => Fault>> = {
  'row 3: a mirror whose body stands still': (silence) => stall(MIB + 5, silence),
  'row 5: a mirror whose body breaks off': () => cut(MIB + 5),
}

for (const [what, fault] of Object.entries(BROKEN)) {
  test(`${what} is gone on from at the registry, which is asked first from then on`, async () => {
    await using site = await startMirrored()
    const { mirror, registry, app } = site
    const [first, second] = [putBoth(site, 'first'), putBoth(site, 'second')]
    const silence = new Barrier()
    mirror.script({ method: 'GET' }, fault(silence))
    for (const { path, bytes } of [first, second]) {
      assertWhole(await within(AT_ONCE_MS, app.get(path)), bytes)
    }
    assert.equal(mirror.countBlobs(), 1)
    assert.deepEqual(
      registry.requests.map(({ headers }) => headers.range),
      [`bytes=${MIB + 5}-`, undefined],
    )
    await assertCounted(app, { upstream_resumes_total: 1, 'requests_total{result="miss"}': 2 })
    await assertKept(site, { digests: [first.digest, second.digest] })
    silence.release()
  })
}

test('row 7: what a mirror has wrong is asked for at the registry, which is asked first from then on', async () => {
  await using site = await startMirrored()
  const { mirror, registry, app } = site
  const [first, second] = [putBoth(site, 'first', 1000), putBoth(site, 'second', 1000)]
  mirror.script({ method: 'GET' }, corrupt(0))
  for (const { path, bytes } of [first, second]) {
    assertWhole(await within(AT_ONCE_MS, app.get(path)), bytes)
  }
  assert.deepEqual([mirror.countBlobs(), registry.countBlobs()], [1, 2])
  await assertCounted(app, {
    'upstream_errors_total{reason="digest_mismatch"}': 1,
    'requests_total{result="miss"}': 2,
  })
  await assertKept(site, { digests: [first.digest, second.digest] })
})

async function startMirrored(): Promise<Mirrored> {
  const mirror = await new FaultRegistry().start()
  const site = await startSite({
    registry: OPEN,
    upstream: { mirrors: [mirror.origin], limits: { idleTimeoutMs: 150 } },
  })
  return {
    ...site,
    mirror,
    async [Symbol.asyncDispose]() {
      await site[Symbol.asyncDispose]()
      await mirror.close()
    },
  }
}

/** In the registry and in its mirror. */
function putBoth(site: Mirrored, seed: string, size = SIZE) {
  const blob = putBlob(site, size, seed)
  site.mirror.content.putBlob('acme/app', blob.bytes)
  return blob
}
