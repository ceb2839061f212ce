import assert from 'node:assert/strict'
import { test } from 'node:test'

import { NOTHING_REMOVED, PIN, Site, VERIFIED } from '../admin/site.ts'
import { type Ended, larder, spawnLarder } from './admin.ts'

const DIGEST = `sha256:${'b'.repeat(64)}`
const REMOVED = {
  tags: 1,
  manifests: 2,
  blobs: 3,
  bytes: 5 * 1024 * 1024,
  kept: { pinned: 0, inUse: 0, listed: 0 },
  items: [],
}

function run(site: Site, ...args: readonly string[]): Promise<Ended> {
  return larder([...args, '--server', site.url])
}

test('every command has help with examples', async () => {
  const { stdout: program } = await larder(['--help'])
  const commands = [...program.matchAll(/^ {2}([a-z-]+) .*$/gm)].map(([, name = '']) => name)
  const named = commands.filter((name) => name !== 'help')
  assert.ok(named.length >= 22, named.join())
  for (const command of named) {
    const { code, stdout } = await larder([command, '--help'])
    assert.equal(code, 0)
    const example = command === 'completion' ? 'source <\\(larder completion' : `larder ${command}`
    assert.match(stdout, new RegExp(`Examples:\n {2}(?:helm .* \\| )?${example}`), stdout)
  }
})

test('pin says what it keeps, and what it cannot keep', async () => {
  await using site = await Site.start()
  const table = await run(site, 'pin', 'nginx:1.27', '--expires', '30d', '--follow')
  assert.deepEqual(table, {
    code: 0,
    stdout:
      'NAME                          HOLDS                FOLLOWS  OWNER   EXPIRES\n' +
      'docker.io/library/nginx:1.27  sha256:aaaaaaaaaaaa  no       manual  2026-02-01 12:00:00Z\n',
    stderr: '',
  })
  const target = {
    kind: 'reference',
    upstream: 'docker.io',
    repository: 'library/nginx',
    reference: { kind: 'tag', tag: '1.27' },
  }
  const request = { target, follows: true, expiresInMs: 30 * 86_400_000 }
  assert.deepEqual(site.ports.calls, [['pin', request]])

  site.ports.absent = ['docker.io/library/redis latest']
  const partial = await run(site, 'pin', 'nginx', 'redis', '-o', 'json')
  assert.equal(partial.code, 3)
  assert.equal(JSON.parse(partial.stdout).pins.length, 1)
  assert.equal(partial.stderr, 'docker.io/library/redis:latest: not here: pull it first\n')
  const nothing = await run(site, 'pin', 'redis')
  assert.deepEqual([nothing.code, nothing.stdout], [6, ''])
  const wrong = await run(site, 'pin', 'nginx', '--expires', '30')
  assert.equal(wrong.code, 2)
  assert.match(wrong.stderr, /expires: expected a duration/)
  const stranger = await run(site, 'pin', 'quay.io/a/b')
  assert.deepEqual(
    [stranger.code, stranger.stderr],
    [6, 'no upstream is quay.io; there are: docker.io, ghcr.io\n'],
  )
})

test('pin --list shows every pin, pin --pattern makes one, unpin takes them away', async () => {
  await using site = await Site.start()
  const pattern = 'ghcr.io/acme/*:v*'
  const { digest: _digest, expiresAt: _expiresAt, ...rest } = PIN
  const globbed = {
    ...rest,
    digest: undefined,
    expiresAt: undefined,
    name: pattern,
    kind: 'pattern',
  }
  site.ports.pinned = [PIN, globbed as never]
  const { stdout } = await run(site, 'pin', '--list')
  assert.deepEqual(
    stdout
      .split('\n')
      .map((line) => line.split(/ {2,}/))
      .slice(1, 3),
    [
      [
        'docker.io/library/nginx:1.27',
        'sha256:aaaaaaaaaaaa',
        'no',
        'manual',
        '2026-02-01 12:00:00Z',
      ],
      [pattern, '*', 'no', 'manual', 'never'],
    ],
  )
  assert.equal(JSON.parse((await run(site, 'pin', '--list', '-o', 'json')).stdout).pins.length, 2)

  await run(site, 'pin', '--pattern', pattern)
  const target = { kind: 'pattern', pattern }
  const unpinned = await run(site, 'unpin', '--pattern', pattern)
  assert.deepEqual(unpinned, { code: 0, stdout: 'took 1 pin away\n', stderr: '' })
  assert.deepEqual(site.ports.calls.splice(0), [
    ['pin', { target, follows: false, expiresInMs: undefined }],
    ['unpin', target],
  ])
  site.ports.absent = ['docker.io/library/redis latest']
  const partial = await run(site, 'unpin', 'nginx', 'redis')
  assert.deepEqual(
    [partial.code, partial.stderr],
    [3, 'docker.io/library/redis:latest: not pinned\n'],
  )
  assert.equal((await run(site, 'unpin', 'redis')).code, 6)
})

test('purge says what it freed, or would free', async () => {
  await using site = await Site.start()
  site.ports.removed = REMOVED
  const dry = await run(site, 'purge', '--unused-for', '30d', '--dry-run')
  assert.deepEqual(dry, {
    code: 0,
    stdout: 'would free 5.0 MiB: 1 tag, 2 manifests, 3 blobs\n',
    stderr: '',
  })
  const done = await run(site, 'purge', 'ghcr.io/acme/app:v1', '--yes', '--force')
  assert.equal(done.stdout, 'freed 5.0 MiB: 1 tag, 2 manifests, 3 blobs\n')
  const json = await run(site, 'purge', '--down-to', '1GiB', '--yes', '-o', 'json')
  assert.deepEqual(JSON.parse(json.stdout), { dryRun: false, ...REMOVED, unknown: [] })
  assert.deepEqual(
    site.ports.calls.map(([, , options]) => options),
    [
      { dryRun: true, force: false },
      { dryRun: false, force: true },
      { dryRun: false, force: false },
    ],
  )
})

test('purge ends with 6 when nothing of it is here, and with 3 when some of it stays', async () => {
  await using site = await Site.start()
  const absent = await run(site, 'purge', 'a/b:c', '--yes')
  assert.deepEqual([absent.code, absent.stderr], [6, 'docker.io/a/b:c: not here\n'])
  site.ports.removal.purge = async (selection) =>
    selection.kind === 'reference' && selection.repository === 'a/b' ? NOTHING_REMOVED : REMOVED
  const some = await run(site, 'purge', 'a/b:c', 'nginx', '--yes')
  assert.deepEqual([some.code, some.stderr], [3, 'docker.io/a/b:c: not here\n'])
  site.ports.removal.purge = async () => ({
    ...NOTHING_REMOVED,
    kept: { pinned: 1, inUse: 2, listed: 3 },
  })
  const kept = await run(site, 'purge', 'nginx', '--yes')
  assert.equal(kept.code, 3)
  const shown = /1 kept as pinned, 2 kept as in use, 3 kept as part of an image that stays$/m
  assert.match(kept.stdout, shown)
  assert.match(kept.stderr, /unpin it first, or say --force/)
  const byUse = await run(site, 'purge', '--unused-for', '1d', '--yes')
  assert.equal(byUse.code, 3)
  assert.match(byUse.stderr, /unpin it first\n$/)
  const listed = { pinned: 0, inUse: 0, listed: 1 }
  site.ports.removal.purge = async () => ({ ...NOTHING_REMOVED, kept: listed })
  const child = await run(site, 'purge', 'nginx', '--yes')
  assert.deepEqual(
    [child.code, child.stderr],
    [3, 'nothing went: images that stay list all of it: purge those\n'],
  )
})

test('purge asks whoever sits at a terminal, after saying what would go', async () => {
  for (const [answer, calls] of [
    ['y', [true, false]],
    ['Yes ', [true, false]],
    ['n', [true]],
    ['', [true]],
  ] as const) {
    await using site = await Site.start()
    site.ports.removed = REMOVED
    let question = ''
    const ask = async (text: string) => {
      question = text
      return answer
    }
    const terminal = { canAsk: true, isWatched: true, ask }
    const { code, stdout } = await larder(['purge', 'nginx', '--server', site.url], { terminal })
    assert.match(question, /^This would free 5\.0 MiB: .*\. Go on\? \[y\/N\] $/)
    assert.deepEqual([code, stdout === ''], calls.length === 1 ? [1, true] : [0, false], answer)
    const dryRuns = site.ports.calls.map(([, , options]) => (options as { dryRun: boolean }).dryRun)
    assert.deepEqual(dryRuns, calls)
  }
})

test('a dry run names what would go, and a collection what was left behind', async () => {
  await using site = await Site.start()
  const items = [
    { name: 'docker.io/library/nginx:1.27', size: undefined },
    { name: DIGEST, size: 2048 },
  ]
  site.ports.removed = { ...REMOVED, items }
  const { stdout } = await run(site, 'purge', 'nginx:1.27', '--dry-run')
  assert.deepEqual(
    stdout.split('\n').map((line) => line.split(/ {2,}/)),
    [
      ['NAME', 'SIZE'],
      ['docker.io/library/nginx:1.27', '-'],
      [DIGEST, '2.0 KiB'],
      ['would free 5.0 MiB: 1 tag, 2 manifests, 3 blobs'],
      [''],
    ],
  )
  site.ports.removed = NOTHING_REMOVED
  site.ports.files = { count: 2, bytes: 3 * 1024 ** 3 }
  const collected = await run(site, 'gc')
  const expected = 'freed 0 B: 0 tags, 0 manifests, 0 blobs, 2 left-over files (3.0 GiB)\n'
  assert.equal(collected.stdout, expected)
})

test('the program itself ends with these codes and texts', async () => {
  await using site = await Site.start()
  const reloaded = await spawnLarder(['reload', '--server', site.url])
  assert.deepEqual(reloaded, { code: 0, stdout: 'reloaded\n', stderr: '' })
  site.ports.verifying = async () => ({ ...VERIFIED, ok: 2, damaged: 1 })
  assert.equal((await spawnLarder(['verify', '--server', site.url])).code, 4)
  const unasked = await spawnLarder(['purge', 'nginx', '--server', site.url])
  assert.deepEqual([unasked.code, unasked.stdout], [2, ''])
  assert.match(unasked.stderr, /^nobody is here to be asked: say --yes, or --dry-run/)
})

test('gc says what it freed; what is wrong with its options is exit 2', async () => {
  await using site = await Site.start()
  site.ports.removed = { ...REMOVED, tags: 0, manifests: 0, blobs: 1, bytes: 1023 }
  const dry = await run(site, 'gc', '--dry-run', '--older-than', '1h')
  assert.deepEqual(dry, {
    code: 0,
    stdout: 'would free 1023 B: 0 tags, 0 manifests, 1 blob\n',
    stderr: '',
  })
  assert.deepEqual(site.ports.calls, [['gc', { dryRun: true, olderThanMs: 3_600_000 }]])
  assert.equal((await run(site, 'gc', '--older-than', 'long')).code, 2)
})

test('verify lists the damage on standard output and ends with 4, or 0 once it is repaired', async () => {
  await using site = await Site.start()
  const whole = await run(site, 'verify')
  assert.deepEqual(whole, {
    code: 0,
    stdout: '3 checked: 3 ok, 0 damaged, 0 missing, 0 repaired\n',
    stderr: '',
  })
  const found = { ...VERIFIED, ok: 1, damaged: 1, missing: 1 }
  site.ports.verifying = async ({ repair }, onEvent) => {
    onEvent({ kind: 'progress', checked: 1, total: 3, bytes: 10 })
    onEvent({ kind: 'fault', digest: DIGEST, fault: 'damaged' })
    onEvent({ kind: 'fault', digest: PIN.digest ?? '', fault: 'missing' })
    if (repair) return { ...found, repaired: 2 }
    const places = ['ghcr.io/acme/app', 'docker.io/library/app']
    return { ...found, unrepaired: [{ digest: DIGEST, fault: 'damaged', places }] }
  }
  const damaged = await run(site, 'verify')
  assert.deepEqual(damaged, {
    code: 4,
    stdout:
      `damaged  ${DIGEST}\nmissing  ${PIN.digest}\n` +
      '3 checked: 1 ok, 1 damaged, 1 missing, 0 repaired\n' +
      `${DIGEST} is of ghcr.io/acme/app, docker.io/library/app\n`,
    stderr: 'the next pull fetches it again, and --repair does so now\n',
  })
  const repaired = await run(site, 'verify', '--repair', '-o', 'json')
  assert.equal(repaired.code, 0)
  assert.deepEqual(JSON.parse(repaired.stdout), {
    ...found,
    repaired: 2,
    faults: [
      { digest: DIGEST, fault: 'damaged' },
      { digest: PIN.digest, fault: 'missing' },
    ],
  })
})

test('a verification that fails, or another that is under way, is exit 1', async () => {
  await using site = await Site.start()
  const started = Promise.withResolvers<void>()
  const failing = Promise.withResolvers<never>()
  site.ports.verifying = () => {
    started.resolve()
    return failing.promise
  }
  const first = run(site, 'verify')
  // If it ends before it has begun, what follows says how.
  await Promise.race([started.promise, first])
  const second = await run(site, 'verify')
  assert.deepEqual(second, { code: 1, stdout: '', stderr: 'a verification is under way already\n' })
  failing.reject(new Error('canary'))
  const { code, stderr } = await first
  assert.equal(code, 1)
  assert.match(stderr, /an error of Larder itself: its log has the details/)
})

test('reload prints warnings, or every problem with its place and exit 2', async () => {
  await using site = await Site.start()
  const place = { file: 'larder.yaml', line: 3, column: 7, path: 'server.listen' }
  site.ports.reloaded = { ok: true, warnings: [{ ...place, message: 'noteworthy' }] }
  assert.deepEqual(await run(site, 'reload'), {
    code: 0,
    stdout: 'reloaded\n',
    stderr: 'larder.yaml:3:7: server.listen: warning: noteworthy\n',
  })
  const problems = [{ ...place, message: 'takes a restart' }]
  site.ports.reloaded = { ok: false, message: 'wrong', problems, error: new Error('wrong') }
  assert.deepEqual(await run(site, 'reload'), {
    code: 2,
    stdout: '',
    stderr:
      'the configuration of before stays in use:\nlarder.yaml:3:7: server.listen: takes a restart\n',
  })
  site.ports.reloaded = { ok: false, message: 'no room', problems: [], error: new Error('no room') }
  const failed = await run(site, 'reload')
  assert.match(failed.stderr, /^the configuration of before stays in use: no room\n$/)
})
