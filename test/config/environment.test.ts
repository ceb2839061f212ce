import assert from 'node:assert/strict'
import { test } from 'node:test'

import { overlayEnvironment } from '../../src/config/environment.ts'
import { loadText, problemsOf } from './support.ts'

const FILE = `
upstreams:
  - name: r.example.com
    url: https://r.example.com
    access: shared
    credentials: [{ username: acme, passwordFile: secret }]
`

test('a variable sets the key that its steps name, over the file', async () => {
  const { config } = await loadText(`server: { listen: ":1", adminListen: ":2" }${FILE}`, {
    LARDER__SERVER__ADMINLISTEN: '127.0.0.1:9091',
    LARDER__UPSTREAMS__0__URL: 'https://other.example.com',
    LARDER__UPSTREAMS__0__LIMITS__CONNECTIONS: '3',
    LARDER__UPSTREAMS__0__MATCH: '[a.example.com, b.example.com]',
    LARDER__OFFLINE: 'true',
    LARDER__STORAGE__MAXSIZE: '80%',
  })
  assert.deepEqual(config.server.adminListen, { host: '127.0.0.1', port: 9091 })
  assert.equal(config.server.listen.port, 1)
  assert.equal(config.upstreams[0]?.url, 'https://other.example.com')
  assert.equal(config.upstreams[0]?.limits.connections, 3)
  assert.deepEqual(config.upstreams[0]?.match, ['a.example.com', 'b.example.com'])
  assert.equal(config.offline, true)
  assert.deepEqual(config.storage.maxSize, { percent: 80 })
})

test('upstreams can come from the environment alone, and then are all there are', async () => {
  const { config } = await loadText('', {
    LARDER__UPSTREAMS__0__NAME: 'a.example.com',
    LARDER__UPSTREAMS__0__URL: 'https://a.example.com',
    LARDER__UPSTREAMS__1__NAME: 'b.example.com',
    LARDER__UPSTREAMS__1__URL: 'https://b.example.com',
  })
  assert.deepEqual(
    config.upstreams.map(({ name }) => name),
    ['a.example.com', 'b.example.com'],
  )
})

test('a password is taken as it stands, whatever YAML would read', async () => {
  for (const password of ['12345', '*star', '"quoted"', 'a # b', '{', 'true', '0x1F']) {
    const { config } = await loadText(FILE.replace('passwordFile: secret', ''), {
      LARDER__UPSTREAMS__0__CREDENTIALS__0__PASSWORD: password,
    })
    const [credential] = config.upstreams[0]?.credentials ?? []
    assert.equal(credential?.kind === 'password' && credential.password, password)
  }
})

test('a text is taken as it stands, unless it is in quotes', async () => {
  const { config } = await loadText(FILE, {
    LARDER__UPSTREAMS__0__TAGS__0__MATCH: '*',
    LARDER__UPSTREAMS__0__CREDENTIALS__0__USERNAME: '4711',
    LARDER__SERVER__LISTEN: '"127.0.0.1:5001"',
  })
  const [upstream] = config.upstreams
  assert.equal(upstream?.tags[0]?.match, '*')
  const [credential] = upstream?.credentials ?? []
  assert.equal(credential?.kind === 'password' && credential.username, '4711')
  assert.equal(config.server.listen.port, 5001)
})

test('an unknown variable is a problem with the nearest one', async () => {
  const env = {
    LARDER__SERVER__LISTN: ':1',
    LARDER__UPSTREAMS__X__URL: 'https://a.example.com',
    LARDER__UPSTREAMS__2__URL: 'https://a.example.com',
    LARDER__NOTHING__LIKE__IT: '1',
    LARDER__: '1',
  }
  assert.deepEqual(await problemsOf(FILE, env), [
    'LARDER__: no such key',
    'LARDER__NOTHING__LIKE__IT: no such key',
    'LARDER__SERVER__LISTN: no such key; did you mean LARDER__SERVER__LISTEN?',
    'LARDER__UPSTREAMS__2__URL: upstreams has no item before this one',
    'LARDER__UPSTREAMS__X__URL: no such key: upstreams is a list, so a number from 0 has to follow',
  ])
})

test('what Kubernetes sets for a service named larder is not ours', async () => {
  const env = { LARDER_PORT: 'tcp://10.0.0.1:5000', LARDER_SERVICE_HOST: '10.0.0.1' }
  assert.deepEqual(await problemsOf('', env), [])
})

test('two spellings of one variable are a problem', async () => {
  const env = { LARDER__OFFLINE: 'true', LARDER__offline: 'false' }
  assert.match((await problemsOf('', env)).join(), /sets the same key$/)
})

test('a wrong value names its variable', async () => {
  const env = { LARDER__UPSTREAMS__0__STALEIFERROR: '30', LARDER__MEMORY: '{ chunkCache: 5 }' }
  assert.deepEqual(await problemsOf(FILE, env), [
    'LARDER__MEMORY: memory.chunkCache: expected a size with its unit, such as 512KiB, 100GiB or 10GB: a bare number has no unit',
    'LARDER__UPSTREAMS__0__STALEIFERROR: upstreams.0.staleIfError: expected a duration with its unit, such as 500ms, 30s, 10m, 24h or 7d',
  ])
})

test('item 10 comes after item 2', () => {
  const names = Array.from({ length: 12 }, (_, index) => `job-${index}`)
  const env = Object.fromEntries(
    names.map((name, index) => [`LARDER__PRELOAD__${index}__NAME`, name]).reverse(),
  )
  const { data, problems } = overlayEnvironment(undefined, env)
  assert.deepEqual(problems, [])
  assert.deepEqual(data, { preload: names.map((name) => ({ name })) })
})

test('the data of the file is left as it is', () => {
  const file = { server: { listen: ':1' }, preload: [{ name: 'a' }] }
  const before = structuredClone(file)
  overlayEnvironment(file, { LARDER__SERVER__LISTEN: ':2', LARDER__PRELOAD__0__NAME: 'b' })
  assert.deepEqual(file, before)
})

test('each value knows where it comes from', async () => {
  const { origins } = await loadText(`defaults: { limits: { connections: 4 } }${FILE}`, {
    LARDER__OFFLINE: 'true',
    LARDER__DEFAULTS__STALEGRANT: '5m',
  })
  const of = (path: string) => origins.get(path)
  assert.equal(of('offline'), 'env')
  assert.equal(of('log.level'), 'default')
  assert.equal(of('upstreams.0.url'), 'file')
  assert.equal(of('upstreams.0.match.0'), 'default')
  assert.equal(of('upstreams.0.credentials.0.passwordFile'), 'file')
  assert.equal(of('upstreams.0.limits.connections'), 'file')
  assert.equal(of('upstreams.0.limits.bandwidth'), 'default')
  assert.equal(of('upstreams.0.staleGrant'), 'env')
  assert.equal(of('upstreams.0.tags.0.match'), 'default')
})
