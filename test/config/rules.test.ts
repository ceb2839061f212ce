import assert from 'node:assert/strict'
import { test } from 'node:test'

import { formatProblem } from '../../src/config/problems.ts'
import { loadText, problemsOf } from './support.ts'

/** One upstream with these lines more, each a key. */
function upstream(...lines: string[]): string {
  const url = lines.some((line) => line.startsWith('url:')) ? [] : ['url: https://r.example.com']
  return [
    'upstreams:',
    '  - name: r.example.com',
    ...[...url, ...lines].map((l) => `    ${l}`),
  ].join('\n')
}

/** A breach: what is written, and the place and message it has to lead to. */
const BREACHES: Record<string, readonly [string, RegExp]> = {
  'no upstreams in the list': ['upstreams: []', /:1:1: upstreams: must not be an empty list/],
  'an empty key upstreams': ['upstreams:', /:1:1: upstreams: expected a list, found nothing/],
  'an empty key auth': ['auth:', /:1:1: auth: expected a map of keys, found nothing/],
  'a front door without a key': ['auth: {}', /:1:1: auth: lets nobody in/],
  'a password at the front door before an upstream for callers': [
    `auth: { htpasswdFile: a }\n${upstream('access: caller')}`,
    /:5:13: upstreams.0.access: caller needs the login that auth.htpasswdFile takes/,
  ],
  'the same by default': [
    `auth: { htpasswdFile: a }\ndefaults: { access: caller }\n${upstream()}`,
    /:2:21: defaults.access: caller needs the login/,
  ],
  'client certificates without their CA': [
    'auth: { clientCertificates: true }',
    /:1:29: auth.clientCertificates: needs server.tls.clientCaFile/,
  ],
  'a certificate without its key': [
    'server: { tls: { certFile: a } }',
    /:1:28: server.tls.certFile: needs keyFile/,
  ],
  'a key without its certificate': [
    'server: { tls: { keyFile: a } }',
    /:1:27: server.tls.keyFile: needs certFile/,
  ],
  'a client CA alone': ['server: { tls: { clientCaFile: a } }', /clientCaFile: needs certFile and/],
  'one address for both listeners': [
    'server: { listen: ":9090" }',
    /: server.adminListen: must be another address/,
  ],
  'plain HTTP': [upstream('url: http://r.example.com'), /:3:10: upstreams.0.url: http:\/\/ sends/],
  'plain HTTP of a mirror': [
    upstream('mirrors: [https://a.example.com, http://b.example.com]'),
    /:4:38: upstreams.0.mirrors.1: http:\/\/ sends/,
  ],
  'plain HTTP of a realm': [
    upstream('trustedRealms: [http://b.example.com]'),
    /upstreams.0.trustedRealms.0: http:\/\/ sends/,
  ],
  'a realm with a path': [
    upstream('trustedRealms: [https://b.example.com/token]'),
    /upstreams.0.trustedRealms.0: expected only scheme and host/,
  ],
  'credentials without access': [
    upstream('credentials: [{ username: a, password: b }]'),
    /:2:5: upstreams.0.access: must be said .*public: .*shared: .*caller: /,
  ],
  'both password and passwordFile': [
    upstream('access: shared', 'credentials: [{ username: a, password: b, passwordFile: c }]'),
    /:5:19: upstreams.0.credentials.0: needs only one of password and passwordFile/,
  ],
  'neither password nor passwordFile': [
    upstream('access: shared', 'credentials: [{ username: a }]'),
    /upstreams.0.credentials.0: needs one of password and passwordFile/,
  ],
  'a password without a username': [
    upstream('access: shared', 'credentials: [{ password: b }]'),
    /upstreams.0.credentials.0: needs username/,
  ],
  'two kinds of credential in one': [
    upstream('access: shared', 'credentials: [{ username: a, password: b, dockerConfigFile: c }]'),
    /upstreams.0.credentials.0: expected one of: /,
  ],
  'a path of a Docker file': [
    upstream('access: shared', 'credentials: [{ path: acme, dockerConfigFile: c }]'),
    /upstreams.0.credentials.0.path: goes with username only/,
  ],
  'a client certificate without its key': [
    upstream('clientCertFile: a'),
    /:4:21: upstreams.0.clientCertFile: needs clientKeyFile/,
  ],
  'a client key without its certificate': [
    upstream('clientKeyFile: a'),
    /upstreams.0.clientKeyFile: needs clientCertFile/,
  ],
  'half a client certificate in defaults': [
    `defaults: { clientKeyFile: a }\n${upstream()}`,
    /:1:28: defaults.clientKeyFile: needs clientCertFile/,
  ],
  'a name that is no host and no match': [
    'upstreams: [{ name: my_registry, url: "https://r.example.com" }]',
    /:1:21: upstreams.0.name: is not a registry's host, so match/,
  ],
  'a name with capitals': [
    'upstreams: [{ name: Acme, url: "https://r.example.com" }]',
    /upstreams.0.name: expected a name of lower-case letters/,
  ],
  'two jobs of one name': [
    'preload: [{ name: a, sources: [b] }, { name: a, sources: [c] }]',
    /:1:46: preload.1.name: is the name of preload.0 already/,
  ],
  'a job that reads standard input': [
    'preload: [{ name: a, sources: ["-"] }]',
    /no standard input/,
  ],
  'a timeout of nothing': [upstream('limits: { idleTimeout: 0s }'), /must be more than 0s/],
  'a timeout of a month': [upstream('limits: { idleTimeout: 30d }'), /at most 24h/],
  'a cache of nothing': ['storage: { maxSize: 0% }', /must be more than nothing/],
  'content unused for no time': [
    'storage: { unusedFor: 0s }',
    /:1:23: storage.unusedFor: must be more than 0s/,
  ],
  'a scrub without end': ['storage: { scrub: { every: 0.1ms } }', /scrub.every: must be more than/],
  'a scrub of no speed': [
    'storage: { scrub: { rate: 0B } }',
    /:1:27: storage.scrub.rate: must be at least 1MiB/,
  ],
  'a scrub without unit': ['storage: { scrub: { rate: 32 } }', /expected a size per second/],
  'a refresh of another word': [
    upstream('refresh: lazy'),
    /:4:14: upstreams.0.refresh: expected background or blocking/,
  ],
  'a duration that no clock has': [
    upstream('staleIfError: 999999999999d'),
    /:4:19: upstreams.0.staleIfError: is longer than anything lasts/,
  ],
  'an age that no clock has': [
    upstream('tags: [{ match: v1, maxAge: 999999999999d }]'),
    /upstreams.0.tags.0.maxAge: is longer than anything lasts: say never/,
  ],
  'a bandwidth that no network has': [
    upstream('limits: { bandwidth: 9999999999999999TiB }'),
    /upstreams.0.limits.bandwidth: expected a size per second/,
  ],
  'a bandwidth without unit': [upstream('limits: { bandwidth: 10 }'), /expected a size per second/],
  'an empty list of rules': ['auth: { htpasswdFile: a, rules: [] }', /must not be an empty list/],
}

for (const [name, [text, expected]] of Object.entries(BREACHES)) {
  test(`${name}: refused, once`, async () => {
    const problems = await problemsOf(text)
    assert.equal(problems.length, 1, problems.join('\n'))
    assert.match(problems[0] ?? '', expected)
  })
}

test('names, matches and the default belong to one upstream each', async () => {
  const problems = await problemsOf(
    [
      'upstreams:',
      '  - { name: docker.io, url: "https://a.example.com", default: true }',
      '  - { name: docker.io, url: "https://b.example.com", default: true }',
      '  - { name: hub, match: [HUB.example.com, index.docker.io], url: "https://c.example.com" }',
    ].join('\n'),
  )
  assert.deepEqual(problems, [
    'larder.yaml:3:13: upstreams.1.name: is the name of upstreams.0 already',
    'larder.yaml:3:63: upstreams.1.default: only one can be it, and upstreams.0 is',
    'larder.yaml:4:43: upstreams.2.match.1: upstreams.0 matches docker.io already',
  ])
})

test('plain HTTP is allowed on loopback, and elsewhere when it is said', async () => {
  for (const host of ['localhost:5001', '127.0.0.1:5001', '[::1]:5001']) {
    assert.deepEqual(await problemsOf(upstream(`url: http://${host}`)), [])
  }
  assert.deepEqual(await problemsOf(upstream('url: http://r.example.com', 'plainHttp: true')), [])
  const inherited = `defaults: { plainHttp: true }\n${upstream('url: http://r.example.com')}`
  assert.deepEqual(await problemsOf(inherited), [])
})

test('a rule does not judge what does not fit the schema', async () => {
  const problems = await problemsOf(
    upstream('access: shard', 'credentials: [{ username: a, passwrd: b }]'),
  )
  assert.deepEqual(problems, [
    'larder.yaml:4:13: upstreams.0.access: expected public, shared or caller',
    'larder.yaml:5:34: upstreams.0.credentials.0.passwrd: unknown key; did you mean password?',
  ])
})

test('what is noteworthy is a warning with its place', async () => {
  const { warnings } = await loadText(
    [
      'server: { adminListen: ":9090" }',
      upstream(
        'url: http://r.example.com',
        'plainHttp: true',
        'match: [hub]',
        'access: shared',
        'credentials: [{ username: a, password: hunter2 }]',
        'tags: [{ match: "*" }, { match: v1 }]',
      ),
    ].join('\n'),
  )
  const places = warnings.map(({ line, path }) => `${line} ${path}`)
  assert.deepEqual(places, [
    '1 server.adminListen',
    '6 upstreams.0.match.0',
    '7 upstreams.0.access',
    '8 upstreams.0.credentials',
    '9 upstreams.0.tags.1',
  ])
  assert.ok(!JSON.stringify(warnings).includes('hunter2'))
})

test('a refresh that has no effect is a warning; one that is inherited is none', async () => {
  const { warnings } = await loadText(
    upstream(
      'refresh: background',
      'tags:',
      '  - { match: a, pullPolicy: Always, refresh: background }',
      '  - { match: b, pullPolicy: Never, refresh: blocking }',
      '  - { match: c, pullPolicy: Always }',
      '  - { match: d, refresh: background }',
      '  - { match: latest, refresh: }',
      '  - { match: latest, refresh: blocking, repository: acme/** }',
    ),
  )
  assert.deepEqual(warnings.map(formatProblem), [
    'larder.yaml:6:50: upstreams.0.tags.0.refresh: has no effect: with pullPolicy Always the registry is asked first',
    'larder.yaml:7:49: upstreams.0.tags.1.refresh: has no effect: with pullPolicy Never the registry is never asked',
    'larder.yaml:11:35: upstreams.0.tags.5.refresh: has no effect: with pullPolicy Always the registry is asked first',
  ])
})

test('names that all have a port are a warning: only the default upstream needs none without', async () => {
  const { warnings } = await loadText(
    [
      'upstreams:',
      '  - { name: a, url: "https://a.example:1", match: ["a.example:1", "b.example:1"] }',
      '  - { name: b, url: "https://c.example:1", match: ["c.example:1", c.example] }',
      '  - { name: c, url: "https://d.example:1", match: ["d.example:1"], default: true }',
    ].join('\n'),
  )
  assert.deepEqual(warnings.map(formatProblem), [
    'larder.yaml:2:44: upstreams.0.match: no client can put a name with a port in a path: add a name without a port',
  ])
})

test('a warning of what stands under defaults is there once', async () => {
  const { warnings } = await loadText(
    'defaults: { tags: [{ match: v1, pullPolicy: Never, refresh: background }] }',
  )
  assert.deepEqual(
    warnings.map(({ line, column, path }) => `${line}:${column} ${path}`),
    ['1:61 defaults.tags.0.refresh'],
  )
})

test('a limit of the cache and a preload job need no warning', async () => {
  const { warnings } = await loadText(
    'storage: { maxSize: 1GiB, unusedFor: 30d }\npreload: [{ name: a, sources: [b] }]',
  )
  assert.deepEqual(warnings.map(formatProblem), [])
})

test('a job has times that come, and a name that can own pins', async () => {
  const job = (more: string) => loadText(`preload: [{ sources: [b], ${more} }]`)
  await assert.rejects(job('name: a, schedule: "99 * * * *"'), /schedule: expected a cron/)
  await assert.rejects(job('name: manual'), /name: expected a name of 1 to 128 characters/)
  await assert.rejects(job('name: "pattern:x"'), /name: expected a name of 1 to 128 characters/)
})
