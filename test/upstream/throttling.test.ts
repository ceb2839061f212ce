import assert from 'node:assert/strict'
import { test } from 'node:test'

import { ScriptedServer } from '../support/scripted-server.ts'
import { AS_LARDER, createClient, failure, LATEST, REPOSITORY, sampleManifest } from './client.ts'

const MANIFEST = sampleManifest()

test('a token server that limits requests is left alone for as long as it says', async () => {
  let isLimited = true
  await using server = await new ScriptedServer(({ path, headers }) => {
    if (path === '/token') {
      if (isLimited) return { status: 429, headers: { 'retry-after': '60' } }
      return { status: 200, body: Buffer.from('{"token":"t"}') }
    }
    if (headers.authorization !== undefined) return MANIFEST.answer
    const challenge = `Bearer realm="http://${headers.host}/token",service="s"`
    return { status: 401, headers: { 'www-authenticate': challenge } }
  }).start()
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull(), failure('throttled'))
  server.forget()
  client.clock.time += 59_000
  await assert.rejects(pull(), (error: { retryAfterMs?: number }) => {
    assert.equal(error.retryAfterMs, 1_000)
    return failure('throttled')(error)
  })
  assert.equal(server.requests.length, 0)
  isLimited = false
  client.clock.time += 1_000
  assert.equal((await pull()).digest, MANIFEST.digest)
})
