/** The document of the admin API, and whether real answers are as it says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { z } from 'zod'

import { FAILURE } from '../../src/admin/answers/failure.ts'
import { OPENAPI } from '../../src/admin/answers/openapi.ts'
import { endpointsOf } from '../../src/admin/api.ts'
import { EVENTS_TYPE, NDJSON_TYPE, TAR_TYPE } from '../../src/admin/media-types.ts'
import { describeApi, pathOf } from '../../src/admin/openapi.ts'
import { OPERATIONS } from '../../src/admin/operations.ts'
import { attestedIndex, PreloadSite } from '../airgap/site.ts'
import { Barrier } from '../support/barrier.ts'
import { hold } from '../support/faults.ts'
import { type ClientRequest, type ClientResponse, send } from '../support/http-client.ts'
import { FakePorts, jsonOf, Site } from './site.ts'

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>
}

interface DescribedOperation {
  readonly operationId: string
  readonly summary: string
  readonly parameters?: readonly { readonly name: string; readonly in: string }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { schema?: Schema }>> }
  readonly security?: readonly object[]
}

interface Schema {
  readonly properties: Readonly<Record<string, object>>
}

function endpoints() {
  return endpointsOf({ ports: new FakePorts(), monotonic: () => 0 })
}

/** `GET /pins` and so on, of what the router has. */
function operationsOfRouter(): readonly string[] {
  return endpoints().flatMap((endpoint) => {
    const { read, follow, post, delete: remove } = endpoint
    const methods = [(read ?? follow) && 'GET', post && 'POST', remove && 'DELETE'].filter(Boolean)
    return methods.map((method) => `${method} ${pathOf(endpoint)}`)
  })
}

/** `{ "event": … }` one a line. */
function linesOf({ body }: ClientResponse): readonly unknown[] {
  return body
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

/** Of server-sent events their names and data. */
function eventsOf({ body }: ClientResponse): readonly unknown[] {
  const events = [...body.toString().matchAll(/^event: (.*)\ndata: (.*)$/gm)]
  assert.ok(events.length > 0)
  return events.map(([, event, data = '']) => ({ event, data: JSON.parse(data) }))
}

test('every operation of the router is in the document, and no other', async () => {
  await using site = await Site.start()
  const document = OPENAPI.parse(jsonOf(await site.get('/openapi.json'))) as unknown as Document
  const described = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  )
  assert.ok(described.length >= 19)
  assert.deepEqual(described.toSorted(), operationsOfRouter().toSorted())
  assert.deepEqual(Object.keys(OPERATIONS).toSorted(), operationsOfRouter().toSorted())
  const ids = Object.values(document.paths).flatMap((one) =>
    Object.values(one).map(({ operationId }) => operationId),
  )
  assert.equal(new Set(ids).size, ids.length)
  const missing = { path: '/nowhere', read: async () => ({}) }
  assert.throws(() => describeApi([missing]), /nothing says what GET \/nowhere answers/)
})

test('what an operation takes is in the document as the endpoint itself reads it', async () => {
  const { paths } = describeApi(endpoints()) as Document
  const names = (path: string, method: string) =>
    paths[path]?.[method]?.parameters?.map((one) => `${one.in} ${one.name}`)
  assert.deepEqual(names('/images', 'get'), [
    'query search',
    'query sort',
    'query unusedFor',
    'query limit',
    'query after',
  ])
  assert.deepEqual(names('/images/{name}', 'get'), ['path name'])
  assert.deepEqual(names('/pins', 'delete'), ['query reference', 'query pattern'])
  assert.deepEqual(names('/import', 'post'), ['query as', 'query pin', 'query dryRun'])
  const { requestBody, security } = paths['/purge']?.['post'] ?? {}
  const schema = requestBody?.content['application/json']?.schema
  assert.deepEqual(Object.keys(schema?.properties ?? {}), [
    'references',
    'pattern',
    'upstream',
    'unusedFor',
    'downTo',
    'dryRun',
    'force',
  ])
  assert.deepEqual(security, [{ token: [] }, {}])
  assert.ok(TAR_TYPE in (paths['/import']?.['post']?.requestBody?.content ?? {}))
})

test('the document is one that others can read: nothing in it points to nowhere', async () => {
  const document = describeApi(endpoints())
  const text = JSON.stringify(document)
  for (const [, pointer = ''] of text.matchAll(/"\$ref":"#([^"]+)"/g)) {
    let at: unknown = document
    for (const key of pointer.split('/').slice(1)) {
      assert.ok(typeof at === 'object' && at !== null && key in at, pointer)
      at = (at as Readonly<Record<string, unknown>>)[key]
    }
  }
  assert.doesNotMatch(text, /\$schema|\$defs/)
})

test('real answers are as the document says', async () => {
  await using site = await PreloadSite.start()
  const { index } = attestedIndex('one')
  site.registry.add('team/app', index, 'v1')
  const v1 = 'reg.test/team/app:v1'
  const seen = new Set<string>()
  const ask = async (key: string, path: string, request: ClientRequest = {}) => {
    const [method = ''] = key.split(' ')
    const response = await send(site.app.adminUrl, `/api/v1${path}`, {
      ...request,
      method,
      headers: { 'Content-Type': 'application/json', ...request.headers },
    })
    assert.equal(response.status, 200, `${key}: ${response.body}`)
    seen.add(key)
    const answer = OPERATIONS[key]?.answer
    assert.ok(answer, key)
    if (answer.kind === 'events') {
      assert.equal(response.headers['content-type'], EVENTS_TYPE)
      for (const event of eventsOf(response)) parse(answer.schema, event, key)
    } else if (answer.kind === 'bytes') {
      assert.equal(response.headers['content-type'], answer.mediaType)
    } else if (answer.kind === 'lines') {
      assert.ok(response.headers['content-type']?.startsWith(NDJSON_TYPE))
      for (const line of linesOf(response)) parse(answer.schema, line, key)
    } else parse(answer.schema, jsonOf(response), key)
    return response
  }
  const post = (path: string, body: object, more: ClientRequest = {}) =>
    ask(`POST ${path}`, path, { body: JSON.stringify(body), ...more })
  await post('/preload', { images: [v1, 'reg.test/team/none:v1', 'Not an image'], pin: true })
  await site.lose([...index.blobs.keys()][1] as Parameters<PreloadSite['lose']>[0])
  await post('/verify', {})
  await post('/check', { images: [v1, 'reg.test/team/none:v1'] })
  await post('/verify', { repair: true })
  const tar = await post('/export', { images: [v1] })
  await post('/export/plan', { images: [v1] })
  await ask('POST /import', '/import?dryRun=true', {
    headers: { 'Content-Type': TAR_TYPE },
    body: tar.body,
  })
  await post('/pins', { references: [v1, 'reg.test/team/none:v1'], expires: '1d' })
  await post('/pins', { pattern: 'reg.test/**' })
  for (const path of [
    '/overview',
    '/overview/history',
    '/images',
    '/config',
    '/storage',
    '/storage/usage',
    '/activity',
    '/clients',
    '/authority',
    '/upstreams',
    '/pins',
  ]) {
    await ask(`GET ${path}`, path)
  }
  await ask('GET /node-config', '/node-config?runtime=containerd')
  await ask('GET /openapi.json', '/openapi.json')
  await ask('GET /images/{name}', `/images/${v1}`)
  const begun = await post('/jobs', { images: [v1, 'reg.test/team/none:v1'] })
  const { id } = jsonOf(begun) as { readonly id: string }
  await ask('GET /jobs/{id}/events', `/jobs/${id}/events`)
  await ask('GET /jobs/{id}', `/jobs/${id}`)
  await ask('GET /jobs', '/jobs')
  await post('/sources', { text: v1 })
  await ask('POST /jobs/{id}/retry', `/jobs/${id}/retry`, { body: '{}' })
  const barrier = new Barrier()
  site.registry.script({ path: /manifests\/slow/ }, hold(barrier))
  const slow = await post('/jobs', { text: 'reg.test/team/app:slow' })
  const { id: other } = jsonOf(slow) as { readonly id: string }
  await ask('POST /jobs/{id}/cancel', `/jobs/${other}/cancel`, { body: '{}' })
  barrier.release()
  for (const change of ['test', 'block', 'unblock']) {
    const path = `/upstreams/reg.test/${change}`
    await ask(`POST /upstreams/{name}/${change}`, path, { body: '{}' })
  }
  await post('/purge', { pattern: 'reg.test/**', dryRun: true })
  await ask('DELETE /pins', `/pins?reference=${v1}`)
  await post('/purge', { pattern: 'reg.test/**', force: true })
  await post('/gc', { olderThan: '0s' })
  await post('/reload', {})
  assert.deepEqual([...seen].toSorted(), operationsOfRouter().toSorted())
})

test('a failure is as the document says', async () => {
  await using site = await Site.start()
  for (const answer of [
    await site.get('/nothing'),
    await site.get('/images?limit=0&sort=age'),
    await site.change('/pins', {}),
  ]) {
    assert.ok(answer.status >= 400)
    FAILURE.parse(jsonOf(answer))
  }
})

function parse(schema: z.ZodType, value: unknown, key: string): void {
  const parsed = schema.safeParse(value)
  assert.ok(parsed.success, `${key}: ${parsed.error?.message}\n${JSON.stringify(value)}`)
}
