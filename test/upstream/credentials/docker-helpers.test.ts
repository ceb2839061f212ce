import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { makeTempDir } from '../../support/temp-dir.ts'
import { auth, build, FakeProgram, jwt, programsIn } from './site.ts'

const NAME = 'docker-credential-fake'

interface HelperSite {
  readonly helper: FakeProgram
  readonly site: ReturnType<typeof build>
  [Symbol.asyncDispose](): Promise<void>
}

/** A docker configuration beside the helper that it names. */
async function start(config: object, body?: string, timeoutMs = 30_000): Promise<HelperSite> {
  const dir = await makeTempDir()
  const file = join(dir.path, 'config.json')
  await writeFile(file, JSON.stringify(config))
  const helper = await FakeProgram.write(dir.path, NAME, body)
  const environment = programsIn(dir.path)
  const site = build([{ kind: 'dockerConfig', file }], { environment, helperTimeoutMs: timeoutMs })
  return { helper, site, [Symbol.asyncDispose]: dir.remove }
}

const FOR_ONE = { credHelpers: { 'r.example': 'fake' } }

test('a helper is asked for the registry that it is named for, before the file itself', async () => {
  const auths = { 'r.example': { auth: auth('file:p') } }
  await using one = await start({ ...FOR_ONE, auths })
  const { helper, site } = one
  await helper.answer({ ServerURL: 'https://r.example', Username: 'u', Secret: 's' })
  assert.deepEqual(await site.find('r.example/app'), ['u:s', 'file:p'])
  assert.deepEqual(await site.find('r.example/app', 'byHost'), ['u:s', 'file:p'])
  assert.deepEqual(await site.find('other.example/app'), [])
  assert.equal(await helper.read('input'), 'r.example')
  assert.equal(await helper.read('args'), `${helper.file} get\n`)
  assert.equal(await helper.runs(), 1)
  assert.deepEqual(site.problems, [])
})

test('a store is asked for every registry, and Docker Hub by the name that Docker gives it', async () => {
  await using one = await start({ credsStore: 'fake' })
  const { helper, site } = one
  await helper.answer({ Username: '<token>', Secret: 'refresh' })
  assert.deepEqual(await site.find('docker.io/library/app'), ['<token>:refresh:refresh'])
  assert.equal(await helper.read('input'), 'https://index.docker.io/v1/')
  await site.find('r.example:5000/app')
  assert.equal(await helper.read('input'), 'r.example:5000')
})

test('a helper named for Docker Hub in any of its spellings is asked', async () => {
  for (const key of ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io']) {
    await using one = await start({ credHelpers: { [key]: 'fake' } })
    await one.helper.answer({ Username: 'u', Secret: 's' })
    assert.deepEqual(await one.site.find('docker.io/library/app'), ['u:s'], key)
  }
})

test('a helper that knows nothing is no problem, and is asked again after a minute', async () => {
  await using one = await start(FOR_ONE, 'echo "credentials not found in native keychain"; exit 1')
  const { helper, site } = one
  assert.deepEqual(await site.find('r.example/app'), [])
  site.clock.time += 59_999
  await site.find('r.example/app')
  assert.equal(await helper.runs(), 1)
  site.clock.time += 1
  await site.find('r.example/app')
  assert.equal(await helper.runs(), 2)
  assert.deepEqual(site.problems, [])
})

test('each way to fail is one clear problem, and rests for a while', async () => {
  const canary = 'echo "canary-$RANDOM canary"; echo canary >&2'
  const other = JSON.stringify({ ServerURL: 'other.example', Username: 'u', Secret: 'canary' })
  const half = JSON.stringify({ ServerURL: 'r.example', Username: 'canary' })
  for (const [body, expected] of [
    [`${canary}; sleep 600`, `${NAME} did not end within 0.3 s`],
    [canary, `${NAME} is not a JSON object`],
    [`echo '${half}'`, `${NAME} answered without a username and a secret`],
    [`${canary}; exit 1`, `${NAME} failed for r.example (exit code 1): run it by hand to see why`],
    ['yes canary | head -c 10000000', `${NAME} printed more than 1048576 bytes`],
    [`echo '${other}'`, `${NAME} answered for another registry than r.example`],
  ] as const) {
    const timeoutMs = body.includes('sleep') ? 300 : 30_000
    await using one = await start(FOR_ONE, body, timeoutMs)
    const { helper, site } = one
    assert.deepEqual(await site.find('r.example/app'), [])
    assert.deepEqual(await site.find('r.example/app'), [])
    assert.equal(await helper.runs(), 1, 'it rests')
    site.clock.time += 30_000
    assert.deepEqual(await site.find('r.example/app'), [])
    assert.equal(await helper.runs(), 2)
    assert.deepEqual(site.problems, [expected])
  }
})

test('a helper that is missing, or has no plain name, is said', async () => {
  for (const [suffix, expected] of [
    ['missing', 'docker-credential-missing is not found in PATH'],
    ['../fake', 'a credential helper has no valid name'],
    ['fake; touch /tmp/x', 'a credential helper has no valid name'],
  ] as const) {
    await using one = await start({
      credsStore: suffix,
      auths: { 'r.example': { auth: auth('u:p') } },
    })
    assert.deepEqual(await one.site.find('r.example/app'), ['u:p'])
    assert.deepEqual(one.site.problems, [expected])
  }
})

test('fifty pulls at once run a helper once; what it said is kept for ten minutes', async () => {
  await using one = await start(FOR_ONE)
  const { helper, site } = one
  await helper.answer({ Username: 'u', Secret: 's' })
  const all = Array.from({ length: 50 }, (_, index) => site.find(`r.example/app-${index}`))
  for (const found of await Promise.all(all)) assert.deepEqual(found, ['u:s'])
  assert.equal(await helper.runs(), 1)
  site.clock.time += 599_999
  await site.find('r.example/app')
  assert.equal(await helper.runs(), 1)
  site.clock.time += 1
  await site.find('r.example/app')
  assert.equal(await helper.runs(), 2)
})

test('what expires sooner by its own word is let go before', async () => {
  await using one = await start(FOR_ONE)
  const { helper, site } = one
  await helper.answer({ Username: 'u', Secret: jwt({ exp: 1_800_000_100 }) })
  await site.find('r.example/app')
  site.clock.time += 69_999
  await site.find('r.example/app')
  assert.equal(await helper.runs(), 1)
  site.clock.time += 1
  await site.find('r.example/app')
  assert.equal(await helper.runs(), 2)
  assert.deepEqual(site.expiries, [1_800_000_100_000])
})

test('what the registry refused is asked for anew, unless that was just done', async () => {
  await using one = await start(FOR_ONE)
  const { helper, site } = one
  await helper.answer({ Username: 'u', Secret: 'old' })
  const [refused] = await site.credentials('r.example/app')
  assert.ok(refused !== undefined)
  await helper.answer({ Username: 'u', Secret: 'new' })
  site.sources.own.invalidate?.(refused)
  assert.deepEqual(await site.find('r.example/app'), ['u:old'])
  site.clock.time += 30_000
  site.sources.own.invalidate?.({ ...refused, fingerprint: 'of another' })
  assert.deepEqual(await site.find('r.example/app'), ['u:old'])
  site.sources.own.invalidate?.(refused)
  assert.deepEqual(await site.find('r.example/app'), ['u:new'])
  assert.equal(await helper.runs(), 2)
})

test('no secret is in the arguments or the environment of a helper', async () => {
  const auths = { 'r.example': { auth: auth('u:canary') } }
  await using one = await start({ ...FOR_ONE, auths })
  await one.site.find('r.example/app')
  const given = await Promise.all([one.helper.read('args'), one.helper.read('env')])
  assert.ok(given.every((text) => text !== '' && !/canary|Y2FuYXJ5/.test(text)))
})
