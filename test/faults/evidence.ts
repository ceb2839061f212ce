/**
 * What every row of the fault table is judged by: the answer, its time, what counts it, and what
 * is left behind.
 */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { type Digest, encodedOf } from '../../src/oci/digest.ts'
import { allLanded, assertStoreRight, type Site } from '../pull/site.ts'
import type { TestApp } from '../support/app.ts'
import type { ClientResponse } from '../support/http-client.ts'
import { codeOf } from '../support/hub.ts'
import { samplesOf } from '../support/samples.ts'

/** A registry that everybody may ask: what is tested is not its password. */
export const OPEN = { auth: { kind: 'none' } } as const

/**
 * For what may wait for none but the shortest of the limits a test sets; a slow machine is given
 * some time all the same.
 */
export const AT_ONCE_MS = 5_000

/** Fails when it takes longer. */
export async function within<T>(limitMs: number, pending: Promise<T>): Promise<T> {
  // Not `performance`, whose time a test may skip.
  const startedAt = process.hrtime.bigint()
  const value = await pending
  const tookMs = Number((process.hrtime.bigint() - startedAt) / 1_000_000n)
  assert.ok(tookMs <= limitMs, `took ${tookMs} ms, and ${limitMs} ms are allowed`)
  return value
}

/** Before the first byte: an error of the specification, which shows nobody an address. */
export function assertRefused(got: ClientResponse, status: number, code: string): void {
  assert.equal(got.status, status, got.body.toString())
  assert.equal(codeOf(got), code)
  assert.equal(got.headers['content-type'], 'application/json')
  assert.equal(got.complete, true)
  assert.doesNotMatch(got.body.toString(), /127\.0\.0\.1|https?:|at .*\.ts|\.test\b/)
}

/** After the first byte: cut, and what came is right as far as it goes. */
export function assertCut(got: ClientResponse, bytes: Buffer): void {
  assert.equal(got.status, 200)
  assert.equal(got.complete, false, 'nobody may take it for whole')
  assert.ok(got.body.length < bytes.length)
  assert.ok(bytes.subarray(0, got.body.length).equals(got.body), 'what came is wrong')
}

/** As `Cache-Status` tells it: how an answer came about. */
const CAME: Readonly<Record<'hit' | 'stale' | 'revalidated', RegExp>> = {
  hit: /^larder; hit\b/,
  stale: /^larder; fwd=stale\b.*; detail=stale-if-error$/,
  revalidated: /^larder; .*detail=revalidated$/,
}

/** Whole and right, and perhaps how it came about. */
export function assertWhole(
  got: ClientResponse | undefined,
  bytes: Buffer,
  came?: keyof typeof CAME,
): void {
  assert.equal(got?.status, 200, got?.body.toString('utf8', 0, 500) ?? 'no answer')
  assert.equal(got.complete, true)
  assert.ok(got.body.equals(bytes), 'whole, and wrong')
  if (came !== undefined) assert.match(String(got.headers['cache-status']), CAME[came])
}

/** Asserts samples such as `upstream_errors_total{reason="tls"}`, without the prefix of all. */
export async function assertCounted(
  app: TestApp,
  expected: Readonly<Record<string, number>>,
): Promise<void> {
  const found: Record<string, number> = {}
  for (const series of Object.keys(expected)) {
    const [wanted] = samplesOf(`larder_${series} 0`)
    assert.ok(wanted !== undefined, series)
    found[series] = await app.metric(wanted.name, wanted.labels)
  }
  assert.deepEqual(found, expected)
}

export interface Kept {
  /** What is whole: files and rows. */
  readonly digests?: readonly Digest[]
  /** What has been begun, and is to be gone on with. */
  readonly parts?: readonly Digest[]
  readonly manifests?: number
  readonly tags?: number
}

/** Asserts what is on disk and in the catalog, all of it, once every download has ended. */
export async function assertKept(site: Site, expected: Kept = {}): Promise<void> {
  const { digests = [], parts = [], manifests = 0, tags = 0 } = expected
  await allLanded(site)
  await assertStoreRight(site)
  const { dataDir } = site.app
  const names = async (folder: string) => {
    const options = { recursive: true, withFileTypes: true } as const
    const entries = await readdir(join(dataDir, folder), options)
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name)
  }
  assert.deepEqual((await names('blobs')).sort(), digests.map(encodedOf).sort())
  const begun = parts.map((digest) => `${encodedOf(digest)}.part`)
  assert.deepEqual((await names('ingest')).sort(), begun.sort())
  await assertCounted(site.app, {
    store_blobs: digests.length,
    store_manifests: manifests,
    store_tags: tags,
  })
}
