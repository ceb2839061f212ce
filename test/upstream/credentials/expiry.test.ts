import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { Metrics } from '../../../src/metrics.ts'
import { keepMs, statedExpiry } from '../../../src/upstream/credentials/expiry.ts'
import { makeTempDir } from '../../support/temp-dir.ts'
import { auth, build, jwt } from './site.ts'

const SOON = 1_800_000_100
const LATER = 1_800_009_000

test('a secret that says when it expires is believed', () => {
  assert.equal(statedExpiry(jwt({ exp: SOON })), SOON * 1000)
  const ecr = { payload: 'x', datakey: 'y', version: '2', type: 'DATA_KEY', expiration: SOON }
  assert.equal(statedExpiry(auth(JSON.stringify(ecr))), SOON * 1000)
  for (const silent of [
    'hunter2',
    '',
    'a.b.c',
    jwt({}),
    jwt({ exp: 'soon' }),
    jwt({ exp: 5 }),
    jwt({ exp: 1e300 }),
    'eyJ',
    auth('{"expiration":null}'),
    'x'.repeat(100_000),
  ]) {
    assert.equal(statedExpiry(silent), undefined, silent.slice(0, 20))
  }
})

test('what is kept is let go before it expires, but never asked for without a pause', () => {
  assert.equal(keepMs(600_000, undefined, 0), 600_000)
  assert.equal(keepMs(600_000, 100_000, 0), 70_000)
  assert.equal(keepMs(600_000, 900_000, 0), 600_000)
  assert.equal(keepMs(600_000, 1, 50_000), 10_000)
  assert.equal(keepMs(0, 1, 50_000), 0)
})

test('the credential that expires first is reported, until it is rotated or gone', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'config.json')
  const write = (auths: Record<string, string>) => {
    const entries = Object.entries(auths).map(([key, secret]) => [
      key,
      { auth: auth(`u:${secret}`) },
    ])
    return writeFile(file, JSON.stringify({ auths: Object.fromEntries(entries) }))
  }
  await write({ 'r.example/a': jwt({ exp: SOON }), 'r.example/b': jwt({ exp: LATER }) })
  const { find, expiries, clock } = build([{ kind: 'dockerConfig', file }])
  await find('r.example/b/app')
  await find('r.example/a/app')
  await find('r.example/b/app')
  assert.deepEqual(expiries, [LATER * 1000, SOON * 1000])
  await write({ 'r.example/a': jwt({ exp: LATER + 1 }), 'r.example/b': jwt({ exp: LATER }) })
  clock.time += 1_000
  await find('r.example/a/app')
  assert.deepEqual(expiries.slice(2), [LATER * 1000])
  await write({ 'r.example/a': jwt({ exp: LATER + 1 }) })
  clock.time += 600_001
  await find('r.example/a/app')
  assert.deepEqual(expiries.slice(3), [(LATER + 1) * 1000])
  await write({ 'r.example/a': 'for ever' })
  clock.time += 1_000
  await find('r.example/a/app')
  assert.deepEqual(expiries.slice(4), [undefined])
})

test('the metric is in seconds, and there only while something is known', async () => {
  const metrics = new Metrics({ version: '0.0.0-test' }, ['a'])
  const lines = async () =>
    (await metrics.render()).split('\n').filter((line) => /^larder_upstream_credential/.test(line))
  metrics.upstreams.credentialExpiry({ upstream: 'a', at: SOON * 1000 })
  assert.deepEqual(await lines(), [
    `larder_upstream_credential_expiry_timestamp_seconds{upstream="a"} ${SOON}`,
  ])
  metrics.upstreams.credentialExpiry({ upstream: 'a', at: undefined })
  assert.deepEqual(await lines(), [])
})
