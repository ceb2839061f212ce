import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { parse } from 'yaml'
import * as z from 'zod'

import { nearest, suggestKey } from '../../src/config/keys.ts'
import { configJsonSchema } from '../../src/config/schema.ts'

const CONFIG = join(import.meta.dirname, '../../config')

test('config/larder.schema.json is what `larder config schema` prints', async () => {
  const published: unknown = JSON.parse(await readFile(join(CONFIG, 'larder.schema.json'), 'utf8'))
  assert.deepEqual(
    published,
    JSON.parse(JSON.stringify(configJsonSchema())),
    'run: npm run --silent larder -- config schema > config/larder.schema.json && npm run format',
  )
})

test('an editor with the JSON Schema accepts the examples and refuses unknown keys', async () => {
  const text = await readFile(join(CONFIG, 'larder.schema.json'), 'utf8')
  const schema = z.fromJSONSchema(JSON.parse(text))
  for (const name of (await readdir(CONFIG)).filter((file) => file.endsWith('.yaml'))) {
    const example: unknown = parse(await readFile(join(CONFIG, name), 'utf8'))
    assert.deepEqual(schema.safeParse(example).error, undefined, name)
  }
  for (const wrong of [{ bogus: 1 }, { server: { listn: ':1' } }, { log: { level: 'loud' } }]) {
    assert.equal(schema.safeParse(wrong).success, false, JSON.stringify(wrong))
  }
  assert.equal(schema.safeParse({ server: { drainTimeout: '5' } }).success, false)
})

test('the nearest key is near', () => {
  assert.equal(nearest('passwrod', ['password', 'passwordFile']), 'password')
  assert.equal(nearest('PASSWORDFILE', ['password', 'passwordFile']), 'passwordFile')
  assert.equal(nearest('zebra', ['password', 'passwordFile']), undefined)
  assert.equal(nearest('x'.repeat(100_000), ['password']), undefined)
})

test('a key in the wrong place is told where it belongs', () => {
  assert.equal(suggestKey([], 'adminListen'), 'server.adminListen')
  assert.equal(suggestKey(['defaults'], 'url'), 'upstreams.<n>.url')
  assert.equal(suggestKey(['upstreams', 0, 'limits'], 'bandwith'), 'bandwidth')
  assert.equal(suggestKey(['nowhere', 0], '__proto__'), undefined)
})
