import assert from 'node:assert/strict'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { send } from '../support/http-client.ts'
import { startLarder } from '../support/larder.ts'
import type { Promises } from './promises.ts'
import { UPSTREAM } from './site.ts'

/** Until it is ready, on a machine that does other things too; without a loss of power it is 0.3 s. */
const READY_MS = 5_000

/**
 * Starts the program itself on what a loss of power has left, with a registry that is gone: every
 * tag that is acknowledged has to be served all the same, by its right bytes.
 *
 * @returns how many were served
 */
export async function serveOffline(dataDir: string, promises: Promises): Promise<number> {
  const began = performance.now()
  const upstream = { name: UPSTREAM, url: 'http://127.0.0.1:9', access: 'public', default: true }
  const storage = { minFree: '0%' }
  await using larder = await startLarder({ dataDir, upstreams: [upstream], storage, offline: true })
  const { status, body } = await send(larder.adminUrl, '/readyz')
  assert.equal(status, 200, body.toString())
  assert.ok(performance.now() - began < READY_MS, 'it was not ready in time')
  let served = 0
  for (const [name, { may }] of promises.tags) {
    const [digest = null] = may
    if (may.size > 1 || digest === null || !promises.blobs.has(digest as Digest)) continue
    const [, repository = '', tag = ''] = /^[^/]+\/(.+):(.+)$/.exec(name) ?? []
    const answer = await send(larder.url, `/v2/${repository}/manifests/${tag}`)
    assert.equal(answer.status, 200, `${name}: ${answer.body}`)
    assert.equal(digestOf(answer.body), digest)
    served++
  }
  return served
}
