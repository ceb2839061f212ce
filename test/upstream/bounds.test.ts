import assert from 'node:assert/strict'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { OCI_INDEX } from '../../src/oci/media-types.ts'
import { answer, chunked, headers } from '../support/faults.ts'
import { ScriptedServer } from '../support/scripted-server.ts'
import { AS_LARDER, createClient, failure, LATEST, REPOSITORY, sampleManifest } from './client.ts'

const MANIFEST = sampleManifest()
const MIB = 1024 * 1024
const SUBJECT = digestOf(Buffer.from('subject'))

/** Wants a token for everything, and gives `token` out. */
function startRegistry(token: string | Buffer): Promise<ScriptedServer> {
  return new ScriptedServer(({ path, headers }) => {
    if (path === '/token') return { status: 200, body: token }
    if (headers.authorization !== undefined) return MANIFEST.answer
    const challenge = `Bearer realm="http://${headers.host}/token",service="s"`
    return { status: 401, headers: { 'www-authenticate': challenge } }
  }).start()
}

function startOpen(): Promise<ScriptedServer> {
  return new ScriptedServer(() => MANIFEST.answer).start()
}

function nested(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth)
}

test('headers of a signed redirect fit, and headers without an end do not', async () => {
  await using server = await startOpen()
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  server.script({}, headers({ 'x-long': 'x'.repeat(48 * 1024) }), { times: 1 })
  assert.equal((await pull()).digest, MANIFEST.digest)
  server.script({}, headers({ 'x-long': 'x'.repeat(65 * 1024) }))
  await assert.rejects(pull(), failure('invalid', 'protocol'))
  server.clearScripts()
  server.script({}, headers({ 'x-many': Array.from({ length: 8_000 }, () => 'xxxxx') }))
  await assert.rejects(pull(), failure('invalid', 'protocol'))
})

test("a token server's answer over a mebibyte is refused, announced or not", async () => {
  const document = { token: 't', pad: 'x'.repeat(MIB) }
  await using server = await startRegistry(JSON.stringify(document))
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  await assert.rejects(pull(), failure('invalid', 'size_mismatch'))
  server.script({ path: '/token' }, chunked())
  await assert.rejects(pull(), failure('invalid', 'size_mismatch'))
})

test('a token that no header can carry is none, and neither is what is nested without end', async () => {
  for (const text of [JSON.stringify({ token: 'x'.repeat(32_769) }), nested(400_000)]) {
    await using server = await startRegistry(text)
    await using client = createClient(server.origin)
    const pull = client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
    await assert.rejects(pull, failure('invalid', 'auth'))
  }
})

test('an error page without end, or nested without end, is an error of its status', async () => {
  await using server = await startOpen()
  await using client = createClient(server.origin)
  const pull = () => client.registry.getManifest(REPOSITORY, LATEST, AS_LARDER)
  const endless = Buffer.alloc(32 * MIB, '{"errors":[{"code":"NAME_UNKNOWN"}]}')
  for (const body of [endless, nested(30_000)]) {
    for (const more of [[], [chunked()]]) {
      server.script({}, [answer(404, {}, body), ...more], { times: 1 })
      await assert.rejects(pull(), failure('unknown', 'not_found'))
    }
  }
})

test('the pages of a list are bounded together: few may be large', async () => {
  const page = JSON.stringify({ tags: ['v1'], pad: 'x'.repeat(3.5 * MIB) })
  await using server = await new ScriptedServer(({ query }) => {
    const next = Number(query.get('last') ?? 0) + 1
    const link = `</v2/acme/app/tags/list?last=${next}>; rel="next"`
    return { status: 200, headers: { link }, body: page }
  }).start()
  await using client = createClient(server.origin)
  const list = client.registry.listTags(REPOSITORY, AS_LARDER)
  await assert.rejects(list, failure('invalid', 'protocol'))
  assert.equal(server.requests.length, 5)
})

test('lists that are nested without end are refused, and end no process', async () => {
  await using server = await startOpen()
  await using client = createClient(server.origin)
  server.script({ path: /tags/ }, answer(200, {}, `{"tags":${nested(MIB)}}`))
  assert.deepEqual(await client.registry.listTags(REPOSITORY, AS_LARDER), [])
  const body = `{"schemaVersion":2,"manifests":${nested(MIB)}}`
  server.script({ path: /referrers/ }, answer(200, { 'content-type': OCI_INDEX }, body))
  const listed = client.registry.listReferrers(REPOSITORY, SUBJECT, AS_LARDER)
  await assert.rejects(listed, failure('invalid', 'protocol'))
})
