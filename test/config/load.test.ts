import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import fc from 'fast-check'
import { stringify } from 'yaml'
import type { TagRule } from '../../src/config/config.ts'
import { allKeyPaths } from '../../src/config/keys.ts'
import { loadConfig } from '../../src/config/load.ts'
import { renderConfig } from '../../src/config/print.ts'
import { ConfigError } from '../../src/config/problems.ts'
import { loadText, problemsOf, withFile } from './support.ts'

const ROOT = join(import.meta.dirname, '../..')
const CONTRACT = join(import.meta.dirname, 'fixtures/contract.yaml')

test('without a file the large public registries are served', async () => {
  const { config, file } = await withFile('', (cwd) =>
    loadConfig({ env: {}, cwd: join(cwd, 'nowhere') }),
  )
  assert.equal(file, undefined)
  assert.deepEqual(
    config.upstreams.map(({ name }) => name),
    [
      'docker.io',
      'ghcr.io',
      'quay.io',
      'registry.k8s.io',
      'gcr.io',
      'mcr.microsoft.com',
      'public.ecr.aws',
    ],
  )
  assert.ok(config.upstreams.every(({ access, url }) => access === 'public' && /^https:/.test(url)))
  assert.deepEqual(
    config.upstreams.filter((upstream) => upstream.default).map(({ url }) => url),
    ['https://registry-1.docker.io'],
  )
  assert.equal(config.auth, undefined)
})

test('the contract loads as what it says', async () => {
  const { config } = await loadText(await readFile(CONTRACT, 'utf8'))
  assert.deepEqual(config.server.listen, { host: '0.0.0.0', port: 5000 })
  assert.equal(config.server.drainTimeoutMs, 60_000)
  assert.deepEqual(config.auth?.rules, [{ users: ['ci'], repositories: ['ghcr.io/acme/**'] }])
  assert.equal(config.admin.tokenFile, undefined)
  assert.deepEqual(config.storage.maxSize, { bytes: 100 * 1024 ** 3 })
  assert.deepEqual(config.storage.minFree, { percent: 5 })
  assert.equal(config.storage.unusedForMs, undefined)
  assert.deepEqual(config.storage.scrub, {
    everyMs: 30 * 86_400_000,
    bytesPerSecond: 32 * 1024 ** 2,
  })
  assert.equal(config.memory.chunkCacheBytes, 256 * 1024 ** 2)
  const [hub] = config.upstreams
  assert.deepEqual(
    hub?.credentials.map(({ kind }) => kind),
    ['password', 'dockerConfig', 'kubelet'],
  )
  assert.deepEqual(hub?.tags, [
    { match: 'latest', repository: '**', pullPolicy: 'Always', maxAgeMs: 0, refresh: 'blocking' },
    {
      match: '*',
      repository: '**',
      pullPolicy: 'IfNotPresent',
      maxAgeMs: 3_600_000,
      refresh: 'blocking',
    },
  ])
  assert.equal(hub?.staleIfErrorMs, 7 * 86_400_000)
  assert.deepEqual(hub?.limits, {
    connections: 16,
    bandwidth: 0,
    connectTimeoutMs: 10_000,
    headersTimeoutMs: 30_000,
    idleTimeoutMs: 60_000,
  })
  assert.equal(config.preload[0]?.schedule, '0 3 * * *')
})

test('what the contract says about an upstream is what holds without it', async () => {
  const url = 'https://registry-1.docker.io'
  const contract = await loadText(await readFile(CONTRACT, 'utf8'))
  const { config } = await loadText(
    `upstreams: [{ name: docker.io, default: true, url: "${url}" }]`,
  )
  const [said, unsaid] = [contract.config.upstreams[0], config.upstreams[0]]
  assert.deepEqual({ ...unsaid, credentials: said?.credentials }, said)
})

test('every example loads, and the full one has every key', async () => {
  const files = (await readdir(join(ROOT, 'config'))).filter((name) => name.endsWith('.yaml'))
  assert.ok(files.length >= 6)
  assert.ok(!files.includes('larder.yaml'), 'it would be found as the default')
  for (const name of files) {
    const text = await readFile(join(ROOT, 'config', name), 'utf8')
    assert.match(text, /^# yaml-language-server: \$schema=\.\/larder\.schema\.json\n/)
    assert.deepEqual(await problemsOf(text), [], name)
  }
  const full = await readFile(join(ROOT, 'config/larder.example.yaml'), 'utf8')
  for (const key of allKeyPaths().filter(([root]) => root !== 'defaults')) {
    assert.match(full, new RegExp(`\\b${key.at(-1)}:`), key.join('.'))
  }
})

test('a file that is named must exist; LARDER_CONFIG names one too', async () => {
  await withFile('offline: true', async (cwd) => {
    const named = loadConfig({ file: 'other.yaml', env: { LARDER_CONFIG: 'larder.yaml' }, cwd })
    await assert.rejects(named, { name: 'ConfigError', message: 'other.yaml: no such file' })
    const directory = loadConfig({ file: '.', env: {}, cwd })
    await assert.rejects(directory, { message: '.: is a directory, not a file' })
    const { config, file } = await loadConfig({ env: { LARDER_CONFIG: 'larder.yaml' }, cwd })
    assert.deepEqual([config.offline, file], [true, 'larder.yaml'])
  })
})

test('config/larder.yaml is found', async () => {
  await withFile('', async (cwd) => {
    await mkdir(join(cwd, 'config'))
    await writeFile(join(cwd, 'config/larder.yaml'), 'offline: true')
    const { config, file } = await loadConfig({ env: {}, cwd })
    assert.deepEqual([config.offline, file], [true, './config/larder.yaml'])
  })
})

test('a relative name in the file is relative to it, elsewhere to the working directory', async () => {
  await withFile('', async (cwd) => {
    await mkdir(join(cwd, 'etc'))
    const text = [
      'server: { tls: { certFile: tls/crt, keyFile: /abs/key } }',
      'defaults: { caFile: ca.crt }',
      'preload: [{ name: a, sources: [images.txt, ./k8s, alpine, "r.example.com/a:b.txt"] }]',
    ]
    await writeFile(join(cwd, 'etc/larder.yaml'), text.join('\n'))
    const env = { LARDER__ADMIN__TOKENFILE: 'token' }
    const { config } = await loadConfig({ file: 'etc/larder.yaml', env, cwd })
    assert.equal(config.server.tls?.certFile, join(cwd, 'etc/tls/crt'))
    assert.equal(config.server.tls?.keyFile, '/abs/key')
    assert.equal(config.upstreams[0]?.caFile, join(cwd, 'etc/ca.crt'))
    assert.equal(config.storage.path, join(cwd, 'data'))
    assert.equal(config.admin.tokenFile, join(cwd, 'token'))
    const sources = [
      join(cwd, 'etc/images.txt'),
      join(cwd, 'etc/k8s'),
      'alpine',
      'r.example.com/a:b.txt',
    ]
    assert.deepEqual(config.preload[0]?.sources, sources)
  })
})

test('defaults stand under each upstream, limits and repositories key by key', async () => {
  const { config } = await loadText(`
defaults:
  access: shared
  limits: { connections: 4, bandwidth: 1MiB }
  repositories: { deny: [secret/**] }
  tags: [{ match: v*, pullPolicy: Never }]
upstreams:
  - { name: a.example.com, url: "https://A.example.com/prefix/" }
  - name: b.example.com
    url: https://b.example.com
    access:
    limits: { connections: 2 }
    repositories: { allow: [acme/**] }
    tags: []
`)
  const [a, b] = config.upstreams
  assert.equal(a?.url, 'https://a.example.com/prefix')
  assert.deepEqual([a?.access, b?.access], ['shared', 'shared'])
  assert.deepEqual([a?.limits.connections, b?.limits.connections], [4, 2])
  assert.deepEqual([a?.limits.bandwidth, b?.limits.bandwidth], [1024 ** 2, 1024 ** 2])
  assert.deepEqual(b?.repositories, { allow: ['acme/**'], deny: ['secret/**'] })
  assert.deepEqual(
    a?.tags.map(({ match }) => match),
    ['v*', 'latest', '*'],
  )
  assert.deepEqual(
    b?.tags.map(({ match }) => match),
    ['latest', '*'],
  )
})

test('a tag rule without a policy has the one that Kubernetes infers', async () => {
  const { config } = await loadText(
    `defaults: { tags: [{ match: latest }, { match: v1 }, { match: v2, maxAge: never }, { match: v3, pullPolicy: Never }] }`,
  )
  const rules = config.upstreams[0]?.tags.slice(0, 4)
  assert.deepEqual(
    rules?.map(({ pullPolicy, maxAgeMs }) => [pullPolicy, maxAgeMs]),
    [
      ['Always', 0],
      ['IfNotPresent', 3_600_000],
      ['IfNotPresent', Number.POSITIVE_INFINITY],
      ['Never', Number.POSITIVE_INFINITY],
    ],
  )
})

const REFRESHES = `
defaults: { refresh: background }
upstreams:
  - { name: a.example.com, url: "https://a.example.com" }
  - { name: b.example.com, url: "https://b.example.com", refresh: blocking }
  - name: c.example.com
    url: https://c.example.com
    tags: [{ match: v1 }, { match: v2, refresh: blocking }, { match: v3, pullPolicy: Always }]
  - name: d.example.com
    url: https://d.example.com
    refresh: blocking
    tags: [{ match: v1, refresh: background }, { match: v3, pullPolicy: Never }]
`

test('a tag is refreshed as its rule says, else as its upstream, else as defaults', async () => {
  const { config } = await loadText(REFRESHES)
  assert.deepEqual(
    config.upstreams.map(({ tags }) => tags.map(({ match, refresh }) => `${match} ${refresh}`)),
    [
      ['latest blocking', '* background'],
      ['latest blocking', '* blocking'],
      ['v1 background', 'v2 blocking', 'v3 blocking', 'latest blocking', '* background'],
      ['v1 background', 'v3 blocking', 'latest blocking', '* blocking'],
    ],
  )
})

test('one word can be said for all tags of an upstream, or of all upstreams', async () => {
  const text = `
defaults: { pullPolicy: Never }
upstreams:
  - { name: a.example.com, url: "https://a.example.com" }
  - name: b.example.com
    url: https://b.example.com
    pullPolicy: IfNotPresent
    maxAge: 5m
    tags: [{ match: v1, maxAge: 1m }, { match: v2, pullPolicy: Always }]
`
  const { config } = await loadText(text)
  const shown = (tags: readonly TagRule[]) =>
    tags.map(({ match, pullPolicy, maxAgeMs }) => `${match} ${pullPolicy} ${maxAgeMs}`)
  assert.deepEqual(
    config.upstreams.map(({ tags }) => shown(tags)),
    [
      ['latest Never Infinity', '* Never Infinity'],
      [
        'v1 IfNotPresent 60000',
        'v2 Always 0',
        'latest IfNotPresent 300000',
        '* IfNotPresent 300000',
      ],
    ],
  )
  const again = await loadText(stringify(renderConfig(config)))
  assert.deepEqual(again.config.upstreams, config.upstreams)
})

test("a rule's refresh is said to come from where its upstream has it", async () => {
  const { origins } = await loadText(REFRESHES, { LARDER__UPSTREAMS__3__REFRESH: 'background' })
  const { origins: unsaid } = await loadText('')
  assert.equal(origins.get('upstreams.0.tags.1.refresh'), 'file')
  assert.equal(origins.get('upstreams.3.tags.0.refresh'), 'file')
  assert.equal(origins.get('upstreams.3.tags.3.refresh'), 'env')
  assert.equal(unsaid.get('upstreams.0.tags.1.refresh'), 'default')
})

test('never is no period', async () => {
  const { config } = await loadText('storage: { unusedFor: 30d, scrub: { every: never } }')
  assert.equal(config.storage.unusedForMs, 30 * 86_400_000)
  assert.deepEqual(config.storage.scrub, { everyMs: undefined, bytesPerSecond: 32 * 1024 ** 2 })
})

test('workers are a number, or as many as can run at once', async () => {
  const workersOf = async (text: string, env = {}) =>
    (await loadText(text, env)).config.server.workers
  assert.equal(await workersOf(''), 1)
  assert.equal(await workersOf('server: { workers: 4 }'), 4)
  assert.equal(await workersOf('server: { workers: auto }'), Math.min(64, availableParallelism()))
  assert.equal(await workersOf('', { LARDER__SERVER__WORKERS: '3' }), 3)
  for (const wrong of ['0', '65', '1.5', 'all', '"2"']) {
    assert.deepEqual(await problemsOf(`server: { workers: ${wrong} }`), [
      'larder.yaml:1:20: server.workers: expected a whole number from 1 to 64, or auto',
    ])
  }
})

test('every problem is listed in the order of the file, with its place', async () => {
  const problems = await problemsOf(
    `version: 2
server:
  listen: 5000
  adminLsten: :9090
  drainTimeout: 60
listen: :5000
storage: { maxSize: 100Gi }
upstreams:
  - name: acme.example.com
    limits: { connections: 1.5 }
  - nothing
`,
    { LARDER__OFFLINE: 'maybe' },
  )
  assert.deepEqual(problems, [
    'larder.yaml:1:10: version: expected 1',
    'larder.yaml:3:11: server.listen: expected an address to listen on, such as 0.0.0.0:5000, :5000 or [::1]:5000',
    'larder.yaml:4:3: server.adminLsten: unknown key; did you mean adminListen?',
    'larder.yaml:5:17: server.drainTimeout: expected a duration with its unit, such as 500ms, 30s, 10m, 24h or 7d: a bare number has no unit',
    'larder.yaml:6:1: listen: unknown key; did you mean server.listen?',
    'larder.yaml:7:21: storage.maxSize: expected a size with its unit or a share, such as 100GiB, 10GB or 80%',
    'larder.yaml:9:5: upstreams.0.url: is missing',
    'larder.yaml:10:28: upstreams.0.limits.connections: expected a whole number, found a number',
    'larder.yaml:11:5: upstreams.1: expected a map of keys, found a text',
    'LARDER__OFFLINE: offline: expected true or false, found a text',
  ])
})

test('a glob that a long name could hold up is refused', async () => {
  const upstream = (glob: string) =>
    `upstreams:\n  - { name: a.test, url: "https://a.test", repositories: { allow: ["${glob}"] } }`
  for (const glob of ['**', 'a/**/b-*-*', '*-*-*/*-*', '**/{a,b}*']) {
    assert.deepEqual(await problemsOf(upstream(glob)), [], glob)
  }
  for (const glob of ['*a*a*a*', '**/a/**/a/**/a/**', '*{b/,*}*{b/,*}']) {
    assert.match(
      (await problemsOf(upstream(glob))).join(),
      /allow\.0: has more than 3 \* in one/,
      glob,
    )
  }
})

test('a merge key is said to be not read', async () => {
  const text =
    'upstreams:\n  - &a { name: a.test, url: "https://a.test" }\n  - { <<: *a, name: b.test }'
  assert.deepEqual(await problemsOf(text), [
    'larder.yaml:3:5: upstreams.1.url: is missing',
    'larder.yaml:3:5: upstreams.1: unknown key: << is not read; what upstreams share stands under defaults',
  ])
})

test('text that is not YAML is a problem with its place', async () => {
  const cases: Record<string, RegExp> = {
    'offline: true\noffline: false': /^larder.yaml:2:1: this key is there twice$/,
    'log: { level: info': /^larder.yaml:1:19: .*a bracket before it is not closed$/,
    'server:\n\tlisten: x': /^larder.yaml:2:1: a tab in the indentation/,
    'a: 1\n---\nb: 2': /^larder.yaml:2:1: a second document/,
    'log: *nowhere': /^larder.yaml:1:6: an alias/,
    '- 1': /^larder.yaml:1:1: expected a map of keys, found a list$/,
  }
  for (const [text, expected] of Object.entries(cases)) {
    assert.match((await problemsOf(text)).join('\n'), expected, text)
  }
  assert.deepEqual(await problemsOf(Uint8Array.of(0xff, 0xfe)), ['larder.yaml: is not UTF-8 text'])
  assert.match((await problemsOf('['.repeat(50_000))).join('\n'), /is nested too deep$/)
})

test('a few aliases are convenient, many are an attack', async () => {
  const text = (count: number) =>
    `preload:\n  - { name: a, sources: [&a x${', *a'.repeat(count)}] }`
  assert.deepEqual(await problemsOf(text(3)), [])
  const bomb = `x: &a [1]\ny: &b [${'*a,'.repeat(60)}]\nz: [${'*b,'.repeat(60)}]`
  assert.match((await problemsOf(bomb)).join('\n'), /more than 50 values by alias/)
})

test('no problem repeats a password', async () => {
  const texts = [
    'upstreams: [{ name: a, url: "https://u:hunter2@a.example.com", credentials: [{ password: hunter2 }] }]',
    'upstreams: [{ credentials: [{ username: a, password:hunter2 }] }]',
    'upstreams: [{ credentials: [{ password: *hunter2 }] }]',
    'upstreams: [{ credentials: [{ password: "\\hunter2" }] }]',
    'upstreams: [{ credentials: [{ password: [hunter2] }] }]',
    'upstreams: [{ credentials: [{ password: !hunter2 x }] }]',
    'upstreams: [{ credentials: hunter2, access: hunter2, name: hunter2!, platforms: hunter2 }]',
    'password: %hunter2',
    'password: @hunter2',
    'password: hunter2: x',
  ]
  for (const text of texts) {
    const problems = await problemsOf(text)
    assert.notEqual(problems.length, 0, text)
    assert.ok(!problems.join('\n').includes('hunter2'), `${text}\n${problems.join('\n')}`)
  }
  const env = { LARDER__UPSTREAMS__0__CREDENTIALS: 'hunter2', LARDER__OFFLINE: 'hunter2' }
  assert.ok(!(await problemsOf('', env)).join('\n').includes('hunter2'))
})

test('a printed configuration loads as what it was printed from', async () => {
  const files = [CONTRACT, join(ROOT, 'config/private-registry.yaml')]
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')))
  const scrub = 'storage: { unusedFor: 10d, scrub: { every: never, rate: 5MB } }'
  for (const text of [...texts, REFRESHES, scrub, 'defaults: { refresh: background }']) {
    const { config } = await loadText(text)
    const again = await loadText(stringify(renderConfig(config)))
    assert.deepEqual(again.config, config)
    assert.ok(!again.warnings.some(({ path }) => path.endsWith('refresh')), 'of what it printed')
  }
})

const SCRAP = fc.constantFrom(
  ...['server', 'upstreams', 'defaults', 'tls', 'name', 'credentials', 'limits', '__proto__'],
  ...[
    ': ',
    ':\n  ',
    '\n',
    '\n  - ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    ',',
    '"',
    "'",
    '&a ',
    '*a',
    '!!',
    '<<',
  ],
  ...[
    '|\n',
    '? ',
    '%',
    '#',
    '---\n',
    '\t',
    '5',
    'true',
    '~',
    '30s',
    'https://a',
    '\u0000',
    '\ud800',
  ],
)

test('random junk is refused with a ConfigError or accepted, nothing else', async () => {
  await withFile('', async (cwd) => {
    const file = join(cwd, 'junk.yaml')
    const junk = fc.oneof(
      fc.array(SCRAP, { maxLength: 30 }).map((scraps) => scraps.join('')),
      fc.string({ unit: 'binary', maxLength: 60 }),
      junkTree().map((tree) => stringify(tree)),
    )
    const property = fc.asyncProperty(junk, async (text) => {
      await writeFile(file, text)
      await loadConfig({ file, env: {}, cwd }).catch((error: unknown) => {
        assert.ok(error instanceof ConfigError, `${JSON.stringify(text)}: ${String(error)}`)
        assert.notEqual(error.problems.length, 0)
      })
    })
    await fc.assert(property, { numRuns: 500 })
  })
})

/** Known keys with wrong things under them: what goes furthest into the rules. */
function junkTree(): fc.Arbitrary<unknown> {
  const keys = [...new Set(allKeyPaths().map((path) => String(path.at(-1))))]
  const leaf = fc.constantFrom(null, 0, 1.5, true, '', 'x', '30s', '5GiB', 'http://a.example.com')
  return fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...keys), tie('tree'), { maxKeys: 6, noNullPrototype: true }),
    ),
  })).tree
}
