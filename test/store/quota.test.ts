import assert from 'node:assert/strict'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { Quota } from '../../src/store/quota.ts'

const KIB = 1024
const CONTENT = digestOf(Buffer.from('content'))
const OWN = digestOf(Buffer.from('a claim of its own'))

test('what was imported and a download of the same both take their room', () => {
  const quota = empty()
  quota.claim(CONTENT, 10 * KIB)
  quota.wrote(CONTENT, 4 * KIB)
  quota.claim(OWN, 10 * KIB)
  quota.named(OWN, CONTENT, 10 * KIB)
  assert.equal(quota.usedBytes, 20 * KIB)
  assert.equal(quota.partialBytes, 4 * KIB)
})

test('a part that goes takes nothing of what came by another way with it', () => {
  const quota = empty()
  quota.claim(OWN, 10 * KIB)
  quota.named(OWN, CONTENT, 10 * KIB)
  quota.keep(CONTENT, 4 * KIB)
  quota.release(CONTENT)
  assert.equal(quota.usedBytes, 10 * KIB)
  quota.gone(CONTENT, 10 * KIB)
  assert.equal(quota.usedBytes, 0)
})

function empty(): Quota {
  return new Quota({
    path: '/nowhere',
    rows: { usedBytes: () => 0, blob: () => undefined },
    settings: () => ({ maxSize: { bytes: 1 }, minFree: { bytes: 0 }, unusedForMs: undefined }),
  })
}
