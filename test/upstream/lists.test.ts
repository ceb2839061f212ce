import assert from 'node:assert/strict'
import { test } from 'node:test'

import { digestOf } from '../../src/oci/digest.ts'
import { OCI_INDEX } from '../../src/oci/media-types.ts'
import { answer } from '../support/faults.ts'
import { type Answer, ScriptedServer } from '../support/scripted-server.ts'
import { AS_LARDER, createClient, failure, MANIFEST_TYPE, REPOSITORY } from './client.ts'

const SUBJECT = digestOf(Buffer.from('subject'))

function page(tags: readonly unknown[] | null, next?: string): Answer {
  const headers = next === undefined ? {} : { link: `<${next}>; rel="next"` }
  return { status: 200, headers, body: { name: 'acme/app', tags } }
}

test('all pages of tags, with the query that the registry gave', async () => {
  await using server = await new ScriptedServer(({ query }) => {
    if (query.get('last') === null)
      return page(['a', 'b'], '/prefix/v2/acme/app/tags/list?last=b&x=1')
    if (query.get('last') === 'b') return page(['c'], 'list?last=c')
    return page(null)
  }).start()
  await using client = createClient(`${server.origin}/prefix`)
  assert.deepEqual(await client.registry.listTags(REPOSITORY, AS_LARDER), ['a', 'b', 'c'])
  assert.deepEqual(
    server.requests.map(({ url }) => url),
    [
      '/prefix/v2/acme/app/tags/list?n=1000',
      '/prefix/v2/acme/app/tags/list?last=b&x=1',
      '/prefix/v2/acme/app/tags/list?last=c',
    ],
  )
})

test('a list without an end is refused', async () => {
  await using server = await new ScriptedServer(({ query }) => {
    const count = Number(query.get('last') ?? 0)
    return page([`t${count}`], `/v2/acme/app/tags/list?last=${count + 1}`)
  }).start()
  await using client = createClient(server.origin)
  await assert.rejects(
    client.registry.listTags(REPOSITORY, AS_LARDER),
    failure('invalid', 'protocol'),
  )
  assert.equal(server.requests.length, 100)
})

test('a page that is its own next, and more than ten thousand tags, are refused', async () => {
  await using server = await new ScriptedServer(({ url }) => page(['a'], url)).start()
  await using client = createClient(server.origin)
  const list = () => client.registry.listTags(REPOSITORY, AS_LARDER)
  await assert.rejects(list(), failure('invalid', 'protocol'))
  assert.equal(server.requests.length, 1)
  const body = { tags: Array.from({ length: 10_001 }, (_, i) => `t${i}`) }
  server.script({}, answer(200, {}, body))
  await assert.rejects(list(), failure('invalid', 'protocol'))
})

test('a next page at another host is not asked for', async () => {
  await using foreign = await new ScriptedServer(() => page(['x'])).start()
  await using server = await new ScriptedServer(() =>
    page(['a'], `http://localhost:${foreign.port}/v2/acme/app/tags/list?last=a`),
  ).start()
  await using client = createClient(server.origin)
  await assert.rejects(
    client.registry.listTags(REPOSITORY, AS_LARDER),
    failure('invalid', 'protocol'),
  )
  assert.equal(foreign.requests.length, 0)
})

test('what is no list of tags is refused, and what is no tag is left out', async () => {
  await using server = await new ScriptedServer(() => page(['ok', 5, '../x', 'a b', ''])).start()
  await using client = createClient(server.origin)
  const list = () => client.registry.listTags(REPOSITORY, AS_LARDER)
  assert.deepEqual(await list(), ['ok'])
  for (const body of ['nonsense', '{"tags":"x"}', '{"tags":{}}']) {
    server.script({}, answer(200, {}, body), { times: 1 })
    await assert.rejects(list(), failure('invalid', 'protocol'), body)
  }
})

function index(...names: string[]): Answer {
  const manifests = names.map((name) => ({
    mediaType: MANIFEST_TYPE,
    digest: digestOf(Buffer.from(name)),
    size: name.length,
    artifactType: `application/${name}`,
  }))
  const body = { schemaVersion: 2, mediaType: OCI_INDEX, manifests }
  return { status: 200, headers: { 'content-type': OCI_INDEX }, body }
}

test('all pages of referrers', async () => {
  await using server = await new ScriptedServer(({ query }) => {
    if (query.get('page') === '2') return index('c')
    const first = index('a', 'b')
    const link = `</v2/acme/app/referrers/${SUBJECT}?page=2>; rel="next"`
    return { ...first, headers: { ...first.headers, link } }
  }).start()
  await using client = createClient(server.origin)
  const referrers = await client.registry.listReferrers(REPOSITORY, SUBJECT, AS_LARDER)
  assert.deepEqual(
    referrers?.map(({ artifactType }) => artifactType),
    ['application/a', 'application/b', 'application/c'],
  )
})

test('no referrers API is no failure; something else in its place is', async () => {
  await using server = await new ScriptedServer(() => ({ status: 404 })).start()
  await using client = createClient(server.origin)
  const list = () => client.registry.listReferrers(REPOSITORY, SUBJECT, AS_LARDER)
  assert.equal(await list(), undefined)
  server.script({}, answer(200, { 'content-type': 'text/html' }, '<html>'), { times: 1 })
  await assert.rejects(list(), failure('invalid', 'protocol'))
  server.script({}, answer(200, { 'content-type': OCI_INDEX }, '{"manifests":[5]}'), { times: 1 })
  await assert.rejects(list(), failure('invalid', 'protocol'))
})

test('a mirror without the referrers API does not speak for the registry', async () => {
  await using mirror = await new ScriptedServer(() => ({ status: 404 })).start()
  await using server = await new ScriptedServer(() => index('a')).start()
  await using client = createClient(server.origin, { mirrors: [mirror.origin] })
  const referrers = await client.registry.listReferrers(REPOSITORY, SUBJECT, AS_LARDER)
  assert.equal(referrers?.length, 1)
  assert.equal(mirror.requests.length, 1)
})
