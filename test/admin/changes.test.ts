/** What holds for every change there is, those that come later too. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'

import { endpointsOf } from '../../src/admin/api.ts'
import { JSON_TYPE } from '../../src/admin/media-types.ts'
import { send } from '../support/http-client.ts'
import { FakePorts, makeTokenFile, Site } from './site.ts'

interface KnownChange {
  readonly method: 'POST' | 'DELETE'
  readonly path: string
  readonly mediaType: string
  readonly action: string
}

const CHANGES: readonly KnownChange[] = endpointsOf({
  ports: new FakePorts(),
  monotonic: () => 0,
}).flatMap(({ path, post, delete: remove }) => {
  const at = path.replace(/[*:]\w+/g, 'docker.io')
  return [
    ...(post === undefined ? [] : [{ method: 'POST' as const, change: post }]),
    ...(remove === undefined ? [] : [{ method: 'DELETE' as const, change: remove }]),
  ].map(({ method, change }) => {
    const mediaType = change.body === 'stream' ? change.mediaType : JSON_TYPE
    return { method, path: at, mediaType, action: change.action }
  })
})

const READS: readonly string[] = endpointsOf({ ports: new FakePorts(), monotonic: () => 0 })
  .filter(({ read, follow }) => read !== undefined || follow !== undefined)
  .map(({ path }) => path.replace(/[*:]\w+/g, 'docker.io'))

function ask(
  site: Site,
  { method, path, mediaType }: KnownChange,
  headers: Readonly<Record<string, string>>,
) {
  const all = { 'Content-Type': mediaType, ...headers }
  return send(site.url, `/api/v1${path}`, { method, headers: all, body: '' })
}

const ATTACKS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'a page of another site': { 'Sec-Fetch-Site': 'cross-site' },
  'a page on another port': { 'Sec-Fetch-Site': 'same-site' },
  'a page that says where it is from': { Origin: 'https://evil.example' },
  'a page without an origin': { Origin: 'null' },
  'a page whose name was pointed here': { Host: 'evil.example' },
  'a proxy for somebody else': { 'X-Forwarded-For': '10.0.0.9' },
  'a form': { 'Content-Type': 'application/x-www-form-urlencoded' },
  'a text': { 'Content-Type': 'text/plain' },
}

test('no change is made by what a browser was made to send, and each try is a line', async () => {
  assert.ok(CHANGES.length >= 18)
  await using site = await Site.start()
  for (const change of CHANGES) {
    for (const [attack, headers] of Object.entries(ATTACKS)) {
      const { status } = await ask(site, change, headers)
      const what = `${change.method} ${change.path}: ${attack}`
      assert.ok(status === 403 || status === 415, `${what}: ${status}`)
      const line = site.audit.at(-1)
      assert.equal(line?.['action'], change.action, what)
      assert.equal(line?.['msg'], 'a change was refused', what)
    }
  }
  assert.deepEqual(site.ports.calls, [], 'nothing was done')
})

test('with a token configured no change is made without it, or with another', async () => {
  await using token = await makeTokenFile()
  await writeFile(token.file, 'correct-horse-battery-staple')
  await using site = await Site.start({ tokenFile: token.file, listenHost: '0.0.0.0' })
  for (const change of CHANGES) {
    const none = await ask(site, change, {})
    assert.equal(none.status, 401, `${change.method} ${change.path}`)
    const wrong = await ask(site, change, { Authorization: 'Bearer wrong-wrong-wrong-wrong' })
    assert.ok(wrong.status === 401 || wrong.status === 429)
  }
  assert.deepEqual(site.ports.calls, [])
  assert.ok(!JSON.stringify(site.logs).includes('wrong-wrong'))
})

test('nothing is read by a page whose name was pointed at this machine', async () => {
  assert.ok(READS.length >= 15)
  await using site = await Site.start()
  for (const path of READS) {
    const { status } = await site.get(path, { Host: 'evil.example' })
    assert.equal(status, 403, path)
  }
})
