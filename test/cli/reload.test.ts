import assert from 'node:assert/strict'
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'

import { FaultRegistry } from '../support/fault-registry.ts'
import { send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { type LarderOptions, type RunningLarder, startLarder } from '../support/larder.ts'
import { samplesOf, sumOf } from '../support/samples.ts'

const TAKEN_OVER = 'the configuration was read again and is in use'
const KEPT = 'the configuration from before stays in use'
const SUCCESSFUL = 'larder_config_last_reload_successful'
const SUCCEEDED_AT = 'larder_config_last_reload_success_timestamp_seconds'

interface Site {
  readonly registry: FaultRegistry
  readonly larder: RunningLarder
  readonly options: LarderOptions
}

/** Larder as a process, with one upstream `old.test` that is the default. */
async function startSite(t: TestContext, more: Partial<LarderOptions> = {}): Promise<Site> {
  const registry = await new FaultRegistry().start()
  registry.add('team/app', buildImage({ seed: 'reload' }), 'v1')
  t.after(() => registry.close())
  const upstreams = [{ name: 'old.test', url: registry.origin, access: 'public', default: true }]
  const options = { upstreams, ...more }
  const larder = await startLarder(options)
  t.after(() => larder.close())
  return { registry, larder, options }
}

function withNew({ options }: Site): LarderOptions {
  const [old] = options.upstreams
  return {
    ...options,
    upstreams: [...options.upstreams, { ...old, name: 'new.test', default: false }],
  }
}

function hangUp({ larder }: Site): void {
  process.kill(larder.pid, 'SIGHUP')
}

async function statusOf({ larder }: Site, registry: string): Promise<number> {
  return (await send(larder.url, `/v2/${registry}/team/app/manifests/v1`)).status
}

async function metric({ larder }: Site, name: string): Promise<number> {
  const { body } = await send(larder.adminUrl, '/metrics')
  return sumOf(samplesOf(body.toString()), name)
}

test('SIGHUP: a changed file is in use, and the log and the metrics say so', async (t) => {
  const site = await startSite(t)
  const before = await metric(site, SUCCEEDED_AT)
  assert.equal(await statusOf(site, 'new.test'), 404)
  await site.larder.writeConfig(withNew(site))
  hangUp(site)
  const [line] = await site.larder.logged(TAKEN_OVER)
  assert.equal(line?.['config'], site.larder.configFile)
  assert.equal(await statusOf(site, 'new.test'), 200)
  assert.ok((await metric(site, SUCCEEDED_AT)) > before)
})

const BAD: Readonly<Record<string, { bad: (site: Site) => object | string; problem: RegExp }>> = {
  'an unreadable caFile': {
    bad: ({ options }) => ({ upstreams: [{ ...options.upstreams[0], caFile: '/none/ca.crt' }] }),
    problem: /^upstreams: \S+: cannot read \/none\/ca\.crt: ENOENT$/,
  },
  'an unreadable htpasswdFile': {
    bad: () => ({ auth: { htpasswdFile: '/none/htpasswd' } }),
    problem: /^auth\.htpasswdFile: \/none\/htpasswd cannot be read \(ENOENT\)$/,
  },
  'what is not YAML': {
    bad: () => 'version: 1\nupstreams: [\n',
    problem: /larder\.yaml:[23]:\d+: /,
  },
  'an unknown key': {
    bad: () => ({ ofline: true }),
    problem: /larder\.yaml:\d+:1: ofline: unknown key; did you mean offline\?$/,
  },
  'another server.listen': {
    bad: () => ({ server: { listen: '127.0.0.1:1' } }),
    problem: /larder\.yaml:\d+:\d+: server\.listen: takes a restart: /,
  },
  'an upstream with credentials and no access': {
    bad: ({ options }) => ({
      upstreams: [
        {
          name: 'a.test',
          url: 'https://a.test',
          credentials: [{ username: 'a', password: 'canary' }],
        },
        ...options.upstreams,
      ],
    }),
    problem: /larder\.yaml:\d+:\d+: upstreams/,
  },
}

test('a configuration with one bad part changes nothing, and says where the bad part is', async (t) => {
  const site = await startSite(t)
  const { larder } = site
  assert.equal(await statusOf(site, 'old.test'), 200)
  const before = await metric(site, SUCCEEDED_AT)
  let refusals = 0
  for (const [name, { bad, problem }] of Object.entries(BAD)) {
    const rest = { ...withNew(site), log: { level: 'error' } }
    const part = bad(site)
    await larder.writeConfig(typeof part === 'string' ? part : { ...rest, ...part })
    hangUp(site)
    const lines = await larder.logged(KEPT, ++refusals)
    assert.equal(lines.length, refusals, `${name}: one line`)
    const problems = lines.at(-1)?.['problems'] as string[]
    assert.equal(problems.length, 1, name)
    assert.match(problems[0] ?? '', problem, name)
    assert.equal(await metric(site, SUCCESSFUL), 0, name)
    assert.equal(await metric(site, SUCCEEDED_AT), before, name)
    // Routes, door and the level of the log are those of before.
    assert.equal(await statusOf(site, 'new.test'), 404, name)
    assert.equal(await statusOf(site, 'old.test'), 200, name)
    await larder.logged('request', 1 + 2 * refusals)
  }
  assert.doesNotMatch(JSON.stringify(larder.logs()), /canary/)

  await larder.writeConfig(withNew(site))
  hangUp(site)
  await larder.logged(TAKEN_OVER)
  assert.equal(await statusOf(site, 'new.test'), 200)
  assert.equal(await metric(site, SUCCESSFUL), 1)
  assert.ok((await metric(site, SUCCEEDED_AT)) > before)
})

// Larder looks every few seconds, and these wait for it.
describe('a file that is followed', { concurrency: true }, () => {
  test('a file that is removed leaves all as it was, never the built-in defaults, until it is back', async (t) => {
    const site = await startSite(t)
    const { larder } = site
    const aside = `${larder.configFile}.aside`
    await rename(larder.configFile, aside)
    hangUp(site)
    const [line] = await larder.logged(KEPT)
    assert.deepEqual(line?.['problems'], [`${larder.configFile}: no such file`])
    assert.equal(await statusOf(site, 'old.test'), 200)
    assert.equal((await send(larder.url, '/v2/alpine/manifests/v1?ns=docker.io')).status, 404)
    assert.equal(await metric(site, SUCCESSFUL), 0)
    // Back as it was, it is seen by itself: else the alert would stay.
    await rename(aside, larder.configFile)
    await larder.logged(TAKEN_OVER)
    assert.equal(await metric(site, SUCCESSFUL), 1)
  })

  test('a ConfigMap that is swapped whole is seen by itself, and told of once', async (t) => {
    const site = await startSite(t)
    const { larder } = site
    const folder = dirname(larder.configFile)
    const lay = async (version: string, content: string, link: string) => {
      await mkdir(join(folder, version))
      await writeFile(join(folder, version, 'larder.yaml'), content)
      await symlink(version, join(folder, link))
    }
    const first = await readFile(larder.configFile, 'utf8')
    await lay('..v1', first, '..data')
    await rm(larder.configFile)
    await symlink('..data/larder.yaml', larder.configFile)
    hangUp(site)
    await larder.logged(TAKEN_OVER, 1)

    await lay('..v2', first.replace('old.test', 'new.test'), '..data_tmp')
    await rename(join(folder, '..data_tmp'), join(folder, '..data'))
    const lines = await larder.logged(TAKEN_OVER, 2)
    assert.equal(lines.length, 2)
    assert.equal(await statusOf(site, 'new.test'), 200)
  })
})

test('20 SIGHUPs at once are heeded, and the last content of the file is in use', async (t) => {
  const site = await startSite(t)
  await site.larder.writeConfig('ofline: true')
  for (let i = 0; i < 10; i++) hangUp(site)
  await site.larder.writeConfig(withNew(site))
  for (let i = 0; i < 10; i++) hangUp(site)
  await site.larder.logged(TAKEN_OVER)
  assert.equal(await statusOf(site, 'new.test'), 200)
  assert.equal(await statusOf(site, 'old.test'), 200)
})

test('a SIGHUP during the start ends nothing, and is heeded after it', async (t) => {
  let wasSent = false
  // A warning is said as soon as the file has been read, before anything listens.
  const defaults = { tags: [{ match: '*', pullPolicy: 'Always', refresh: 'background' }] }
  const onLine = (line: object, pid: number) => {
    if (wasSent || !/no effect/.test(JSON.stringify(line))) return
    wasSent = true
    process.kill(pid, 'SIGHUP')
  }
  const site = await startSite(t, { defaults, onLine })
  await site.larder.logged(TAKEN_OVER)
  assert.ok(wasSent)
  assert.equal(await statusOf(site, 'old.test'), 200)
})

test('log.level is another one from the next line on', async (t) => {
  const site = await startSite(t)
  const { larder, options } = site
  await statusOf(site, 'old.test')
  await larder.logged('request', 1)
  const before = await metric(site, SUCCEEDED_AT)
  await larder.writeConfig({ ...options, log: { level: 'error' } })
  hangUp(site)
  // Nothing is said of it any more.
  while ((await metric(site, SUCCEEDED_AT)) === before);
  await statusOf(site, 'old.test')
  await larder.writeConfig(options)
  hangUp(site)
  await larder.logged(TAKEN_OVER)
  await statusOf(site, 'old.test')
  await larder.logged('request', 2)
  // Whatever else would have been said has been said before this.
  await larder.writeConfig('ofline: true')
  hangUp(site)
  await larder.logged(KEPT)
  assert.equal(larder.logs().filter(({ msg }) => msg === 'request').length, 2)
})
