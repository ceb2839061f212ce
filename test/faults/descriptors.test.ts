import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { metric, until } from '../e2e/metrics.ts'
import { descriptorsOf } from '../load/process.ts'
import { damagedFiles } from '../soak/disk.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { type ClientResponse, send } from '../support/http-client.ts'
import { buildImage, seededBytes } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'

const MIB = 1024 * 1024
const APP = '/v2/library/app'
const CLIENTS = 200
/** Fewer than 4096, and enough for as many connections. */
const AT_START = 1000
/** Beyond what the idle process has open, from the rush on: too few for its clients. */
const LEFT = 60

test('without descriptors a pull is right, or told to come back, and all is well afterwards', async () => {
  await using registry = await startRegistry()
  const cached = publish(registry, 'cached', 8)
  const missing = publish(registry, 'missing', 8)
  await using larder = await startLarder({
    upstreams: [{ name: 'docker.io', url: registry.origin, default: true, access: 'public' }],
    memory: { chunkCache: '1MiB' },
    within: ['prlimit', `--nofile=${AT_START}:${AT_START}`],
  })
  for (const digest of cached) assert.equal(outcomeOf(await pull(larder, digest), digest), 'right')
  await until(larder, 'larder_store_blobs', cached.length)
  const base = descriptorsOf(larder.pid).all
  execFileSync('prlimit', ['--pid', `${larder.pid}`, `--nofile=${base + LEFT}:${base + LEFT}`])
  const wanted = cached.flatMap((digest, index) => [digest, missing[index] as Digest])
  const outcomes = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, index) => {
      const digest = wanted[index % wanted.length] as Digest
      // Who cannot even be accepted is closed at once.
      const answer = await pull(larder, digest).catch(() => undefined)
      return answer === undefined ? 'closed' : outcomeOf(answer, digest)
    }),
  )
  const seen = Map.groupBy(outcomes, (outcome) => outcome)
  assert.deepEqual(
    [...seen.keys()].filter((one) => !EXPECTED.has(one)),
    [],
  )
  assert.ok((seen.get('right')?.length ?? 0) > 0)
  assert.ok((seen.get('told to come back')?.length ?? 0) > 0, 'the descriptors did run out')
  for (const digest of wanted) assert.equal(outcomeOf(await pull(larder, digest), digest), 'right')
  assert.equal(await metric(larder, 'larder_upstream_up'), 1)
  assert.equal(await metric(larder, 'larder_integrity_checks_total'), 0)
  assert.deepEqual(await readdir(join(larder.dataDir, 'quarantine')), [])
  assert.deepEqual(await damagedFiles(larder.dataDir), [])
  const about = larder.logs().filter((line) => line['trouble'] === 'descriptors')
  assert.ok(about.length <= 2, `${about.length} lines`)
  assert.equal(larder.logs().filter(({ msg }) => msg === 'unexpected error').length, 0)
  const few = larder.logs().filter(({ msg }) => String(msg).startsWith('few file descriptors'))
  assert.deepEqual(
    few.map((line) => line['limit']),
    [AT_START],
  )
  assert.ok(descriptorsOf(larder.pid).all <= base + 4)
})

const EXPECTED = new Set(['right', 'told to come back', 'cut', 'closed'])

async function startRegistry() {
  const registry = await new FaultRegistry().start()
  return Object.assign(registry, { [Symbol.asyncDispose]: () => registry.close() })
}

function publish(registry: FaultRegistry, seed: string, count: number): Digest[] {
  const layers = Array.from({ length: count }, (_, at) => seededBytes(`${seed} ${at}`, MIB + at))
  const image = buildImage({ seed, layers })
  registry.add('library/app', image, seed)
  return image.layers.map(({ digest }) => digest)
}

function pull(larder: RunningLarder, digest: Digest): Promise<ClientResponse> {
  return send(larder.url, `${APP}/blobs/${digest}`)
}

function outcomeOf({ status, body, headers, complete }: ClientResponse, digest: Digest): string {
  if (status === 503 && headers['retry-after'] !== undefined) return 'told to come back'
  if (status !== 200) return `${status} ${body}`
  if (!complete) return 'cut'
  return digestOf(body) === digest ? 'right' : 'wrong bytes'
}
