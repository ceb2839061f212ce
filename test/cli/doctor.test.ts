import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { type Finding, formatFinding } from '../../src/cli/doctor/finding.ts'
import { examineCertificate } from '../../src/cli/doctor/server.ts'
import { examineStorage } from '../../src/cli/doctor/storage.ts'
import type { Digest } from '../../src/oci/digest.ts'
import type { Disk } from '../../src/store/quota.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { startLarder } from '../support/larder.ts'
import { type Answer, ScriptedServer } from '../support/scripted-server.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import { larder } from './admin.ts'

interface Report {
  readonly code: number
  readonly ok: boolean
  readonly findings: readonly Finding[]
  /** The one finding of a check. */
  readonly of: (check: string) => Finding
}

interface Site {
  readonly upstreams: readonly Readonly<Record<string, unknown>>[]
  readonly args?: readonly string[]
  readonly config?: object
  readonly files?: Readonly<Record<string, string>>
}

/** Nobody listens there. */
const NOWHERE = 'http://127.0.0.1:1'
const GIB = 1024 ** 3

async function examine({ upstreams, args = [], config, files = {} }: Site): Promise<Report> {
  const text = JSON.stringify({ version: 1, upstreams, ...config })
  const all = ['doctor', '-c', 'larder.yaml', '--server', NOWHERE, ...args, '-o', 'json']
  const { code, stdout } = await larder(all, { files: { ...files, 'larder.yaml': text } })
  const { ok, findings } = JSON.parse(stdout) as Pick<Report, 'ok' | 'findings'>
  const of = (check: string) => {
    const [found, ...more] = findings.filter((one) => one.check === check)
    assert.ok(found !== undefined && more.length === 0, `${check} in ${stdout}`)
    return found
  }
  return { code, ok, findings, of }
}

function upstream(url: string, more: object = {}): Record<string, unknown> {
  return { name: 'r', match: ['r.test'], url, ...more }
}

test('all is well: one line a check, a pull through the server among them, and exit 0', async () => {
  await using registry = await new FaultRegistry().start()
  const index = buildIndex([buildImage({ seed: 'doctor' })])
  registry.add('acme/app', index, 'v1')
  await using running = await startLarder({ upstreams: [upstream(registry.origin)] })
  const args = ['doctor', '-c', running.configFile, '--server', running.adminUrl]
  const more = ['--url', running.url, '--image', 'r.test/acme/app:v1']
  const { code, stdout } = await larder([...args, ...more])
  assert.equal(code, 0, stdout)
  const lines = stdout.trimEnd().split('\n')
  const checks = lines.map((line) => line.split(/\s+/).slice(0, 2).join(' '))
  const expected = [
    'config',
    'data',
    'disk',
    'inodes',
    'server',
    'descriptors',
    'r',
    'clock',
    'pull',
  ]
  const seen = checks.map((check) => check.split(' ')[1])
  assert.deepEqual(new Set(seen), new Set(expected))
  assert.ok(
    checks.every((check) => /^(?:ok|warn)/.test(check)),
    stdout,
  )
  assert.match(
    stdout,
    new RegExp(`^ok {4}pull +r\\.test/acme/app came as ${index.manifest.digest}$`, 'm'),
  )
  assert.match(stdout, /^ok {4}server .* is ready$/m)
  assert.match(stdout, /^(?:ok|warn) +descriptors +\d+ of \d+ are open/m)
})

test('a configuration with mistakes is told with their places, and is the end of it', async () => {
  const files = { 'larder.yaml': 'version: 1\nlog: { level: loud }\nserver: { listen: x }\n' }
  const { code, stdout } = await larder(['doctor', '-c', 'larder.yaml'], { files })
  assert.equal(code, 1)
  const lines = stdout.trimEnd().split('\n')
  assert.equal(lines.length, 2)
  assert.match(lines[0] ?? '', /^FAIL {2}config .*larder\.yaml:2:\d+: log\.level: .* → mend it/)
  assert.match(lines[1] ?? '', /larder\.yaml:3:\d+: server\.listen/)
})

test('what is merely noteworthy is a warning, and exit 0', async () => {
  await using registry = await new FaultRegistry().start()
  const { code, ok, findings, of } = await examine({
    upstreams: [upstream(registry.origin, { access: 'shared' })],
  })
  assert.deepEqual([code, ok], [0, true])
  const warned = findings.filter(({ check, status }) => check === 'config' && status === 'warn')
  assert.match(warned[0]?.detail ?? '', /shared without auth/)
  assert.equal(of('server').status, 'warn')
  assert.match(of('server').detail, /no answer from http:\/\/127\.0\.0\.1:1: ECONNREFUSED/)
  assert.match(of('descriptors').detail, /^\d+ may be open$/)
  assert.equal(
    findings.some(({ check }) => check === 'pull'),
    false,
  )
})

test('a registry is told with the step at which the way to it ends', async () => {
  await using well = await new FaultRegistry().start()
  const { code, of, findings } = await examine({
    upstreams: [upstream(NOWHERE), { name: 'well', match: ['w.test'], url: well.origin }],
  })
  assert.equal(code, 1)
  assert.equal(of('r').status, 'fail')
  assert.match(of('r').detail, /^connect: /)
  assert.match(of('r').advice ?? '', /firewalls/)
  assert.equal(of('well').status, 'ok')
  assert.equal(of('clock').status, 'ok', JSON.stringify(findings))
  const caFile = await examine({ upstreams: [upstream(well.origin, { caFile: 'none.pem' })] })
  assert.match(caFile.of('r').detail, /^cannot read \S+none\.pem: ENOENT$/)
})

test('a registry that is never asked is not asked', async () => {
  await using registry = await new FaultRegistry().start()
  const { code, of } = await examine({
    upstreams: [upstream(registry.origin)],
    config: { offline: true },
  })
  assert.deepEqual([code, registry.count()], [0, 0])
  assert.match(of('registries').detail, /^offline/)
})

test('our clock is judged by the registry that agrees best', async () => {
  const dated = (ms: number) => new Date(Date.now() + ms).toUTCString()
  for (const [aheads, status, detail] of [
    [[3_600_000, 500], 'ok', /0 s|1 s/],
    [[3_600_000, 60_000], 'warn', /behind the registries$/],
    [[-3_600_000], 'fail', /^this machine is 3\d{3} s ahead of the registries$/],
  ] as const) {
    await using stack = new AsyncDisposableStack()
    const upstreams: Record<string, unknown>[] = []
    for (const [index, ahead] of aheads.entries()) {
      const answer = (): Answer => ({ status: 200, headers: { Date: dated(ahead) } })
      const server = stack.use(await new ScriptedServer(answer).start())
      const name = `r${index}`
      upstreams.push({ name, match: [`${name}.test`], url: server.origin })
    }
    const { code, of } = await examine({ upstreams })
    assert.equal(of('clock').status, status)
    assert.match(of('clock').detail, detail)
    assert.equal(code, status === 'fail' ? 1 : 0)
  }
})

test('a server that is not ready says why; one that is degraded is a warning', async () => {
  await using registry = await new FaultRegistry().start()
  for (const [http, problem, status] of [
    [503, 'draining', 'fail'],
    [200, 'degraded: full for 5 s', 'warn'],
  ] as const) {
    const checks = [{ name: 'store', status: problem }]
    const body = { status: http === 200 ? 'ready' : 'not ready', checks }
    await using admin = await new ScriptedServer(({ path }) => {
      if (path !== '/metrics') return { status: http, body }
      return { status: 200, body: 'process_max_fds 1024\nprocess_open_fds 1000\n' }
    }).start()
    await using api = await new ScriptedServer(() => ({ status: 200 })).start()
    const args = ['--server', admin.origin, '--url', api.origin]
    const { of, code } = await examine({ upstreams: [upstream(registry.origin)], args })
    assert.equal(of('server').status, status)
    assert.match(of('server').detail, new RegExp(`store: ${problem}`))
    assert.deepEqual(
      [of('descriptors').status, of('descriptors').detail],
      ['warn', '1000 of 1024 are open'],
    )
    assert.equal(of('pull').status, 'ok')
    assert.equal(code, status === 'fail' ? 1 : 0)
  }
})

test('a pull that fails is told with its step, and bytes are compared with their digest', async () => {
  await using registry = await new FaultRegistry().start()
  const image = buildImage({ seed: 'pull' })
  const { manifest, config } = image
  const type = { 'Content-Type': manifest.mediaType }
  const whole = (path: string): Answer =>
    path === '/v2/'
      ? { status: 200 }
      : path.includes('/manifests/')
        ? { status: 200, headers: type, body: manifest.bytes }
        : { status: 200, body: image.blobs.get(config.digest) ?? '' }
  const absent = { errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }] }
  for (const [answer, detail] of [
    [whole, `docker.io/acme/app came as ${manifest.digest}`],
    [
      (path: string) => (path.includes('/blobs/') ? { status: 200, body: 'x' } : whole(path)),
      `config ${config.digest} came with other bytes than its digest says`,
    ],
    [
      (path: string) => (path === '/v2/' ? { status: 401 } : { status: 404, body: absent }),
      'manifest v1 was answered with 404: manifest unknown',
    ],
    [() => ({ status: 500 }), '/v2/ answers 500'],
  ] as const) {
    await using api = await new ScriptedServer(({ path }) => answer(path)).start()
    const args = ['--url', api.origin, '--image', 'acme/app:v1']
    const { of, code } = await examine({ upstreams: [upstream(registry.origin)], args })
    assert.ok(of('pull').detail.endsWith(detail), of('pull').detail)
    assert.equal(code, answer === whole ? 0 : 1)
  }
  const args = ['--url', NOWHERE]
  const nobody = await examine({ upstreams: [upstream(registry.origin)], args })
  assert.match(nobody.of('pull').detail, /no answer from .*: ECONNREFUSED/)
})

test('of an image for many platforms one is enough, as a site without a network has it', async () => {
  const children = ['s390x', 'amd64'].map((architecture) =>
    buildImage({ seed: 'doctor', platform: { os: 'linux', architecture } }),
  )
  const index = buildIndex(children)
  const contents = new Map(index.blobs)
  for (const { manifest } of [index, ...children]) contents.set(manifest.digest, manifest.bytes)
  const mediaType = index.manifest.mediaType
  for (const [absent, status] of [
    [1, 'ok'],
    [2, 'fail'],
  ] as const) {
    const answer = (path: string): Answer => {
      if (path === '/v2/') return { status: 200 }
      const name = path.slice(path.lastIndexOf('/') + 1).replace(/\?.*/, '')
      const isAbsent = children.slice(0, absent).some(({ manifest }) => manifest.digest === name)
      if (isAbsent) return { status: 504 }
      const body = name === 'v1' ? index.manifest.bytes : (contents.get(name as Digest) ?? '')
      const type = name === 'v1' ? mediaType : (children[1]?.manifest.mediaType ?? '')
      return { status: 200, headers: { 'Content-Type': type }, body }
    }
    await using api = await new ScriptedServer(({ path }) => answer(path)).start()
    const args = ['--url', api.origin, '--image', 'acme/app:v1']
    const { of } = await examine({
      upstreams: [upstream(NOWHERE)],
      config: { offline: true },
      args,
    })
    assert.equal(of('pull').status, status, of('pull').detail)
  }
})

test('the data directory: what cannot be written, and what is nearly full', async () => {
  await using dir = await makeTempDir()
  const path = join(dir.path, 'data')
  const config = {
    path,
    maxSize: { bytes: GIB },
    minFree: { percent: 5 },
    unusedForMs: undefined,
    scrub: { everyMs: undefined, bytesPerSecond: 1 },
  }
  const statusOf = async (disk: Disk) => {
    const [, ...rest] = await examineStorage(config, async () => disk)
    return rest.map(({ check, status }) => `${check} ${status}`)
  }
  const [will] = await examineStorage(config)
  assert.deepEqual(will, { status: 'ok', check: 'data', detail: `${path} will be made` })
  await mkdir(path)
  const [is] = await examineStorage(config)
  assert.deepEqual(is, { status: 'ok', check: 'data', detail: `${path} can be written` })
  const inodes = { total: 1000, free: 1000 }
  assert.deepEqual(await statusOf({ size: 100 * GIB, free: 50 * GIB }), ['disk ok'])
  assert.deepEqual(await statusOf({ size: 100 * GIB, free: GIB, inodes }), [
    'disk warn',
    'inodes ok',
  ])
  assert.deepEqual(await statusOf({ size: 100 * GIB, free: 1, inodes: { total: 1000, free: 0 } }), [
    'disk fail',
    'inodes fail',
  ])
  const few = { total: 1000, free: 40 }
  assert.deepEqual(await statusOf({ size: GIB, free: GIB, inodes: few }), [
    'disk ok',
    'inodes warn',
  ])
  await writeFile(join(dir.path, 'file'), '')
  const [file] = await examineStorage({ ...config, path: join(dir.path, 'file') })
  assert.deepEqual([file?.status, file?.advice], ['fail', 'set storage.path to one'])
})

test('the server’s certificate: expired, about to, of another key, or none', async () => {
  await using dir = await makeTempDir()
  const [certFile, keyFile] = [join(dir.path, 'tls.crt'), join(dir.path, 'tls.key')]
  await writeFile(certFile, LOOPBACK_CERT)
  await writeFile(keyFile, LOOPBACK_KEY)
  const files = { certFile, keyFile }
  const end = Date.parse('2126-10-30T21:19:44Z')
  const day = 86_400_000
  for (const [now, status] of [
    [end - 15 * day, 'ok'],
    [end - 13 * day, 'warn'],
    [end + day, 'fail'],
  ] as const) {
    assert.equal((await examineCertificate(files, now)).status, status)
  }
  const { detail } = await examineCertificate(files, 0)
  assert.match(detail, /is for IP Address:127\.0\.0\.1, DNS:localhost, .*until 2126-10-30$/)
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  await writeFile(keyFile, other.export({ type: 'pkcs8', format: 'pem' }))
  assert.match((await examineCertificate(files, 0)).detail, /is not the key of/)
  await writeFile(keyFile, 'nothing')
  assert.match((await examineCertificate(files, 0)).advice ?? '', /both are PEM/)
})

test('what cannot be meant is exit 2', async () => {
  for (const args of [
    ['--url', 'larder'],
    ['--server', 'larder'],
    ['--image', 'No/Image:'],
  ]) {
    const { code } = await larder(['doctor', ...args], {
      files: {},
      env: { LARDER__OFFLINE: 'true' },
    })
    assert.equal(code, 2, args.join(' '))
  }
})

test('a finding is one line, whatever is told', () => {
  const finding: Finding = { status: 'fail', check: 'r', detail: 'a\n  b', advice: 'c' }
  assert.equal(formatFinding(finding), 'FAIL  r                   a; b → c')
})
