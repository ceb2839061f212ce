import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { makeTempDir } from '../../support/temp-dir.ts'
import { build, FakeProgram, jwt, programsIn } from './site.ts'

const NAME = 'fake-provider'
const V1 = 'credentialprovider.kubelet.k8s.io/v1'
const AN_HOUR = 3_600_000

interface PluginSite {
  readonly plugin: FakeProgram
  readonly site: ReturnType<typeof build>
  readonly configFile: string
  readonly binDir: string
  [Symbol.asyncDispose](): Promise<void>
}

interface StartOptions {
  readonly provider?: object
  readonly body?: string
  readonly timeoutMs?: number
}

/** The kubelet's configuration of one plugin, and that plugin. */
async function start({
  provider,
  body,
  timeoutMs = 30_000,
}: StartOptions = {}): Promise<PluginSite> {
  const dir = await makeTempDir()
  const configFile = join(dir.path, 'config.yaml')
  await writeFile(configFile, config(provider))
  const plugin = await FakeProgram.write(dir.path, NAME, body)
  const site = build([{ kind: 'kubelet', configFile, binDir: dir.path }], {
    environment: programsIn(),
    pluginTimeoutMs: timeoutMs,
  })
  return { plugin, site, configFile, binDir: dir.path, [Symbol.asyncDispose]: dir.remove }
}

function config(...providers: readonly (object | undefined)[]): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: providers.map((provider) => ({
      name: NAME,
      matchImages: ['*.example'],
      defaultCacheDuration: '1h',
      apiVersion: V1,
      ...provider,
    })),
  })
}

function response(auth: Record<string, string> | null, more: object = {}): object {
  const entries = Object.entries(auth ?? {}).map(([key, pair]) => {
    const [username, password] = pair.split(':')
    return [key, { username, password }]
  })
  return {
    apiVersion: V1,
    kind: 'CredentialProviderResponse',
    cacheKeyType: 'Registry',
    auth: auth === null ? null : Object.fromEntries(entries),
    ...more,
  }
}

test('a plugin is asked as the kubelet asks, with what its configuration gives it', async () => {
  const env = [{ name: 'AWS_PROFILE', value: 'x' }]
  await using one = await start({ provider: { args: ['get-credentials', '$HOME'], env } })
  const { plugin, site } = one
  await plugin.answer(response({ 'r.example': 'u:p' }))
  assert.deepEqual(await site.find('r.example/acme/app'), ['u:p'])
  assert.deepEqual(JSON.parse(await plugin.read('input')), {
    apiVersion: V1,
    kind: 'CredentialProviderRequest',
    image: 'r.example/acme/app',
  })
  assert.equal(await plugin.read('args'), `${plugin.file} get-credentials $HOME\n`)
  assert.match(await plugin.read('env'), /^AWS_PROFILE=x$/m)
  assert.match(await plugin.read('env'), /^HOME=\/nonexistent$/m)
  assert.deepEqual(site.problems, [])
})

test('the older version of the interface is spoken where it is configured', async () => {
  const apiVersion = 'credentialprovider.kubelet.k8s.io/v1beta1'
  await using one = await start({ provider: { apiVersion } })
  await one.plugin.answer(response({ 'r.example': 'u:p' }, { apiVersion }))
  assert.deepEqual(await one.site.find('r.example/app'), ['u:p'])
  assert.equal(JSON.parse(await one.plugin.read('input')).apiVersion, apiVersion)
})

test('a plugin is asked for what its matchImages match, by the rules of the kubelet', async () => {
  const cases: readonly [pattern: string, image: string, asked: boolean][] = [
    ['*.example.com', 'a.example.com/x', true],
    ['*.example.com', 'example.com/x', false],
    ['*.example.com', 'a.b.example.com/x', false],
    ['*.*.example.com', 'a.b.example.com/x', true],
    ['example.com:5000', 'example.com/x', false],
    ['example.com:5000', 'example.com:5000/x', true],
    ['example.com/team', 'example.com/team-b/x', true],
    ['example.com/team', 'example.com/other/x', false],
    ['docker.io', 'docker.io/library/nginx', true],
  ]
  for (const [pattern, image, asked] of cases) {
    await using one = await start({ provider: { matchImages: [pattern] } })
    await one.plugin.answer(response({ [pattern]: 'u:p' }))
    assert.deepEqual(await one.site.find(image), asked ? ['u:p'] : [], `${pattern} for ${image}`)
    assert.equal(await one.plugin.runs(), asked ? 1 : 0)
  }
})

test('of an answer, what matches the image is used, the most specific first', async () => {
  await using one = await start()
  await one.plugin.answer(
    response({
      '*.example': 'glob:p',
      'r.example/acme': 'acme:p',
      'r.example': 'host:p',
      'other.example': 'other:p',
      'r.example/empty': ':',
    }),
  )
  assert.deepEqual(await one.site.find('r.example/acme/app'), ['acme:p', 'host:p', 'glob:p'])
  assert.deepEqual(await one.site.find('r.example/empty'), ['host:p', 'glob:p'])
})

test('every plugin that matches is asked, and one that fails hides no other', async () => {
  await using one = await start()
  const second = await FakeProgram.write(one.binDir, 'second')
  const third = await FakeProgram.write(one.binDir, 'third', 'exit 1')
  await writeFile(one.configFile, config({}, { name: 'third' }, { name: 'second' }))
  await one.plugin.answer(response({ 'r.example': 'u:p' }))
  await second.answer(response({ 'r.example': 'second:p' }))
  assert.deepEqual(await one.site.find('r.example/app'), ['u:p', 'second:p'])
  assert.equal(await third.runs(), 1)
  assert.deepEqual(one.site.problems, ['third failed (exit code 1): run it by hand to see why'])
})

test('an answer is kept for its image, its registry, or everything, as it says', async () => {
  const auth = { '*.example': 'u:p' }
  for (const [cacheKeyType, runs] of [
    ['Image', [1, 1, 2, 3]],
    ['Registry', [1, 1, 1, 2]],
    ['Global', [1, 1, 1, 1]],
  ] as const) {
    await using one = await start()
    const { plugin, site } = one
    await plugin.answer(response(auth, { cacheKeyType }))
    const images = ['a.example/x', 'a.example/x', 'a.example/y', 'b.example/x']
    for (const [index, image] of images.entries()) {
      assert.deepEqual(await site.find(image), ['u:p'])
      assert.equal(await plugin.runs(), runs[index], `${cacheKeyType} ${image}`)
    }
  }
})

test('an answer is kept for as long as it says, or the configuration for it, or not at all', async () => {
  for (const [cacheDuration, keptMs] of [
    ['6h0m0s', 6 * AN_HOUR],
    [undefined, AN_HOUR],
    [null, AN_HOUR],
    ['20s', 20_000],
    ['0', 0],
    ['0s', 0],
    ['-1s', 0],
  ] as const) {
    await using one = await start()
    const { plugin, site } = one
    await plugin.answer(response({ 'r.example': 'u:p' }, { cacheDuration }))
    await site.find('r.example/app')
    site.clock.time += Math.max(keptMs - 1, 0)
    await site.find('r.example/app')
    assert.equal(await plugin.runs(), keptMs === 0 ? 2 : 1, String(cacheDuration))
    site.clock.time += 1
    await site.find('r.example/app')
    assert.equal(await plugin.runs(), keptMs === 0 ? 3 : 2, String(cacheDuration))
  }
})

test('a default of nothing is not kept either', async () => {
  await using one = await start({ provider: { defaultCacheDuration: '0s' } })
  await one.plugin.answer(response({ 'r.example': 'u:p' }))
  await one.site.find('r.example/app')
  await one.site.find('r.example/app')
  assert.equal(await one.plugin.runs(), 2)
})

test('a password that expires sooner by its own word is let go before', async () => {
  await using one = await start()
  const { plugin, site } = one
  await plugin.answer(response({ 'r.example': `AWS:${jwt({ exp: 1_800_000_100 })}` }))
  await site.find('r.example/app')
  site.clock.time += 69_999
  await site.find('r.example/app')
  assert.equal(await plugin.runs(), 1)
  site.clock.time += 1
  await site.find('r.example/app')
  assert.equal(await plugin.runs(), 2)
  assert.deepEqual(site.expiries, [1_800_000_100_000])
})

test('what does not say when it expires is taken to be good for as long as it is kept', async () => {
  await using one = await start()
  await one.plugin.answer(response({ 'r.example': 'u:p' }, { cacheDuration: '6h0m0s' }))
  await one.site.find('r.example/app')
  assert.deepEqual(one.site.expiries, [1_800_000_000_000 + 6 * AN_HOUR])
})

test('fifty pulls at once run a plugin once', async () => {
  for (const [cacheKeyType, cacheDuration, images] of [
    ['Registry', '1h', 50],
    ['Global', '1h', 50],
    ['Image', '1h', 1],
    ['Registry', '0', 50],
  ] as const) {
    await using one = await start()
    await one.plugin.answer(response({ 'r.example': 'u:p' }, { cacheKeyType, cacheDuration }))
    const all = Array.from({ length: 50 }, (_, index) =>
      one.site.find(`r.example/app-${index % images}`),
    )
    for (const found of await Promise.all(all)) assert.deepEqual(found, ['u:p'])
    assert.equal(await one.plugin.runs(), 1, cacheKeyType)
  }
})

test('for an answer by image every image is asked for once, and all of them get theirs', async () => {
  await using one = await start()
  await one.plugin.answer(response({ 'r.example': 'u:p' }, { cacheKeyType: 'Image' }))
  const all = Array.from({ length: 20 }, (_, index) => one.site.find(`r.example/app-${index % 10}`))
  for (const found of await Promise.all(all)) assert.deepEqual(found, ['u:p'])
  assert.equal(await one.plugin.runs(), 10)
})

test('no credentials is an answer', async () => {
  for (const auth of [null, {}] as const) {
    await using one = await start()
    await one.plugin.answer(response(auth))
    assert.deepEqual(await one.site.find('r.example/app'), [])
    await one.site.find('r.example/app')
    assert.equal(await one.plugin.runs(), 1)
    assert.deepEqual(one.site.problems, [])
  }
})

test('each way to fail is one clear problem, ends, and rests for a while', async () => {
  const print = (value: object) => `echo '${JSON.stringify(value)}'`
  const secret = { 'r.example': 'u:canary' }
  const noisy = 'echo canary; echo canary >&2'
  for (const [body, expected] of [
    [`${noisy}; sleep 600`, 'fake-provider did not end within 0.3 s'],
    [noisy, 'what fake-provider printed is not a JSON object'],
    ['yes canary | head -c 10000000', 'fake-provider printed more than 1048576 bytes'],
    [`${noisy}; exit 1`, 'fake-provider failed (exit code 1): run it by hand to see why'],
    [
      print(response({ 'other.example': 'u:canary', 'x.example:5000': 'u:canary' })),
      'fake-provider answered for other registries than r.example',
    ],
    [
      print(response(secret, { apiVersion: `${V1}beta1` })),
      `fake-provider answered in another apiVersion than the configured ${V1}`,
    ],
    [
      print(response(secret, { kind: 'canary' })),
      'what fake-provider printed is not a CredentialProviderResponse',
    ],
    [
      print(response(secret, { cacheKeyType: 'canary' })),
      'fake-provider answered with a cacheKeyType that is none of Image, Registry, Global',
    ],
    [
      print(response(secret, { cacheDuration: 5 })),
      'fake-provider answered with a cacheDuration that is no duration such as 6h0m0s',
    ],
    [
      print(response(secret, { auth: ['canary'] })),
      'fake-provider answered with an auth that is not a map',
    ],
  ] as const) {
    await using one = await start({ body, timeoutMs: body.includes('sleep') ? 300 : 30_000 })
    const { plugin, site } = one
    const all = Array.from({ length: 10 }, () => site.find('r.example/app'))
    for (const found of await Promise.all(all)) assert.deepEqual(found, [])
    assert.deepEqual(await site.find('r.example/app'), [])
    assert.equal(await plugin.runs(), 1, expected)
    site.clock.time += AN_HOUR
    assert.deepEqual(await site.find('r.example/app'), [])
    assert.equal(await plugin.runs(), 2, expected)
    assert.deepEqual(site.problems, [expected])
  }
})

test('a plugin that works again is used again', async () => {
  await using one = await start()
  assert.deepEqual(await one.site.find('r.example/app'), [])
  await one.plugin.answer(response({ 'r.example': 'u:p' }))
  one.site.clock.time += 30_000
  assert.deepEqual(await one.site.find('r.example/app'), ['u:p'])
})

test('a plugin that wants the token of a pod is named as the one that cannot be used', async () => {
  const tokenAttributes = { serviceAccountTokenAudience: 'aud', requireServiceAccount: true }
  await using one = await start({ provider: { tokenAttributes } })
  assert.deepEqual(await one.site.find('r.example/app'), [])
  assert.equal(await one.plugin.runs(), 0)
  assert.deepEqual(one.site.problems, [
    "fake-provider wants a pod's service account token (tokenAttributes), and Larder pulls for no pod: " +
      'use a provider without tokenAttributes, or with requireServiceAccount: false',
  ])
})

test('one that also serves pods without a service account is asked without a token', async () => {
  const tokenAttributes = { serviceAccountTokenAudience: 'aud', requireServiceAccount: false }
  await using one = await start({ provider: { tokenAttributes } })
  await one.plugin.answer(response({ 'r.example': 'u:p' }))
  assert.deepEqual(await one.site.find('r.example/app'), ['u:p'])
})

test('what the registry refused is asked for anew', async () => {
  await using one = await start()
  const { plugin, site } = one
  await plugin.answer(response({ 'r.example': 'u:old' }))
  const [refused] = await site.credentials('r.example/app')
  assert.ok(refused !== undefined)
  await plugin.answer(response({ 'r.example': 'u:new' }))
  site.sources.own.invalidate?.(refused)
  assert.deepEqual(await site.find('r.example/app'), ['u:old'], 'it was asked for just now')
  site.clock.time += 30_000
  site.sources.own.invalidate?.(refused)
  assert.deepEqual(await site.find('r.example/app'), ['u:new'])
})

test('a changed configuration is read again; a broken one leaves in use what was there', async () => {
  await using one = await start()
  const { plugin, site, configFile } = one
  await plugin.answer(response({ 'r.example': 'u:p' }))
  assert.deepEqual(await site.find('r.example/app'), ['u:p'])
  await writeFile(configFile, 'kind: nothing')
  site.clock.time += 1_000
  assert.deepEqual(await site.find('r.example/app'), ['u:p'])
  assert.deepEqual(site.problems, [
    `${configFile}: kind is not CredentialProviderConfig; what it held before stays in use`,
  ])
  await writeFile(configFile, config({ matchImages: ['other.example'] }))
  site.clock.time += 1_000
  assert.deepEqual(await site.find('r.example/app'), [])
})

test('a plugin that is not there is named with its file', async () => {
  await using one = await start({ provider: { name: 'missing' } })
  assert.deepEqual(await one.site.find('r.example/app'), [])
  assert.equal(one.site.problems.length, 1)
  assert.match(one.site.problems[0] ?? '', /^missing cannot be started: \S+\/missing: no such file/)
})
