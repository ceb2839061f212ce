import assert from 'node:assert/strict'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { makeTempDir } from '../../support/temp-dir.ts'
import { password } from '../client.ts'
import { auth, build } from './site.ts'

const A_SECOND = 1_000

function dockerConfig(key: string, pair: string): string {
  return JSON.stringify({ auths: { [key]: { auth: auth(pair) } } })
}

test("docker's, podman's and Kubernetes' files, most specific first, all that match", async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'config.json')
  const auths = {
    'r.example': { auth: auth('host:p:w\0\0') },
    'https://r.example/acme': { username: 'plain', password: 'p' },
    'r.example/acme/team': { auth: auth('team:p').replace(/=+$/, ''), username: 'unused' },
    'https://index.docker.io/v1/': { auth: auth('hub:p') },
    'my.azurecr.io': { auth: auth('00000000-0000-0000-0000-000000000000:'), identitytoken: 'rt' },
    'empty.example': {},
    'odd.example': { auth: 'no colon' },
    'wrong.example': 'text',
  }
  const expectations: readonly [image: string, found: string[]][] = [
    ['r.example/acme/team/app', ['team:p', 'plain:p', 'host:p:w']],
    ['r.example/other', ['host:p:w']],
    ['docker.io/library/nginx', ['hub:p']],
    ['my.azurecr.io/app', ['00000000-0000-0000-0000-000000000000::rt']],
    ['empty.example/app', []],
    ['odd.example/app', []],
    ['wrong.example/app', []],
    ['unknown.example/app', []],
  ]
  for (const document of [{ auths }, auths]) {
    await writeFile(file, JSON.stringify(document))
    const { find, problems } = build([{ kind: 'dockerConfig', file }])
    for (const [image, found] of expectations) {
      assert.deepEqual(await find(image), found, image)
      assert.deepEqual(await find(image, 'byHost'), found, image)
    }
    assert.deepEqual(problems, [`odd.example in ${file}: auth is not base64 of username:password`])
  }
})

test('a changed file is read again; a broken one leaves in use what it held', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'config.json')
  await writeFile(file, dockerConfig('r.example', 'u:p'))
  const { find, problems, clock } = build([{ kind: 'dockerConfig', file }, password('next', 'p')])
  assert.deepEqual(await find('r.example/app'), ['u:p', 'next:p'])
  await writeFile(file, dockerConfig('r.example', 'u:q'))
  clock.time += A_SECOND
  assert.deepEqual(await find('r.example/app'), ['u:q', 'next:p'])
  for (const broken of [
    `{"auths":{"r.example":{"auth":"${auth('u:canary')}"`,
    '',
    '{"auths":[]}',
  ]) {
    await writeFile(file, broken)
    clock.time += A_SECOND
    assert.deepEqual(await find('r.example/app'), ['u:q', 'next:p'])
    clock.time += A_SECOND
    assert.deepEqual(await find('r.example/app'), ['u:q', 'next:p'])
  }
  assert.deepEqual(problems, [
    `${file} is not a JSON object; what it held before stays in use`,
    `${file}: auths is not a map; what it held before stays in use`,
  ])
  await writeFile(file, dockerConfig('r.example', 'u:r'))
  clock.time += A_SECOND
  assert.deepEqual(await find('r.example/app'), ['u:r', 'next:p'])
  await rm(file)
  clock.time += A_SECOND
  assert.deepEqual(await find('r.example/app'), ['next:p'], 'what is taken away is not used on')
  assert.equal(problems.length, 3)
})

test('a file that is broken from the start hides no other source', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'config.json')
  await writeFile(file, `"${auth('u:canary')}`)
  const { find, problems } = build([{ kind: 'dockerConfig', file }, password('next', 'p')])
  assert.deepEqual(await find('r.example/app'), ['next:p'])
  assert.deepEqual(await find('r.example/app'), ['next:p'])
  assert.deepEqual(problems, [`${file} is not a JSON object`])
})

test('a folder of secrets: every file in it and one level down, not deeper', async () => {
  await using dir = await makeTempDir()
  const team = join(dir.path, 'team')
  await mkdir(join(team, 'deeper'), { recursive: true })
  await writeFile(join(dir.path, 'a.json'), dockerConfig('r.example', 'a:p'))
  await writeFile(join(team, '.dockerconfigjson'), dockerConfig('r.example/team', 'team:p'))
  await writeFile(
    join(team, '.dockercfg'),
    JSON.stringify({ 'r.example/team/app': { auth: auth('cfg:p') } }),
  )
  await writeFile(join(team, 'deeper', 'b.json'), dockerConfig('r.example', 'deep:p'))
  await writeFile(join(dir.path, 'notes.txt'), 'canary')
  const { find, problems, clock } = build([{ kind: 'dockerConfig', file: dir.path }])
  assert.deepEqual(await find('r.example/team/app'), ['cfg:p', 'team:p', 'a:p'])
  assert.deepEqual(await find('r.example/other'), ['a:p'])
  assert.deepEqual(problems, [`${join(dir.path, 'notes.txt')} is not a JSON object`])

  await writeFile(join(dir.path, 'b.json'), dockerConfig('r.example/other', 'new:p'))
  await rm(join(dir.path, 'a.json'))
  await writeFile(join(team, '.dockerconfigjson'), 'half a secre')
  clock.time += A_SECOND
  assert.deepEqual(await find('r.example/other'), ['new:p'])
  assert.deepEqual(await find('r.example/team/app'), ['cfg:p', 'team:p'])
  assert.match(problems.at(-1) ?? '', /not a JSON object; what it held before stays in use$/)
})

/** What the kubelet does: a folder with the time as its name, to which `..data` is turned at once. */
async function publish(volume: string, version: string, files: Record<string, string>) {
  const folder = join(volume, `..${version}`)
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(folder, name, '..'), { recursive: true })
    await writeFile(join(folder, name), text)
  }
  await symlink(`..${version}`, join(volume, '..data_tmp'))
  await rename(join(volume, '..data_tmp'), join(volume, '..data'))
}

test('a mounted secret is read once, and again when its link is turned', async () => {
  await using dir = await makeTempDir()
  const volume = dir.path
  await publish(volume, '2026_1', { '.dockerconfigjson': dockerConfig('r.example', 'one:p') })
  await symlink('..data/.dockerconfigjson', join(volume, '.dockerconfigjson'))
  await symlink('..data/.dockerconfigjson', join(volume, 'same.json'))
  for (const file of [volume, join(volume, '.dockerconfigjson')]) {
    const { find, problems, clock, sources } = build([{ kind: 'dockerConfig', file }])
    assert.deepEqual(await find('r.example/app'), ['one:p'])
    await publish(volume, '2026_2', { '.dockerconfigjson': dockerConfig('r.example', 'two:p') })
    await rm(join(volume, '..2026_1'), { recursive: true })
    assert.deepEqual(await find('r.example/app'), ['one:p'], 'it is looked at once a second')
    clock.time += A_SECOND
    assert.deepEqual(await find('r.example/app'), ['two:p'])
    await publish(volume, '2026_1', { '.dockerconfigjson': dockerConfig('r.example', 'one:p') })
    await rm(join(volume, '..2026_2'), { recursive: true })
    assert.deepEqual(problems, [])
    sources.close()
  }
})

test('a broken file of a mounted secret is named once, by the name that is meant', async () => {
  await using dir = await makeTempDir()
  await publish(dir.path, '2026_1', { '.dockerconfigjson': 'broken' })
  for (const name of ['.dockerconfigjson', 'same.json']) {
    await symlink('..data/.dockerconfigjson', join(dir.path, name))
  }
  const { find, problems } = build([{ kind: 'dockerConfig', file: dir.path }])
  assert.deepEqual(await find('r.example/app'), [])
  assert.deepEqual(problems, [`${join(dir.path, '.dockerconfigjson')} is not a JSON object`])
})

test('a mounted folder of many secrets is one farm of links', async () => {
  await using dir = await makeTempDir()
  const files = {
    'a/.dockerconfigjson': dockerConfig('r.example', 'a:p'),
    'b/.dockerconfigjson': dockerConfig('r.example/b', 'b:p'),
  }
  await publish(dir.path, '2026_1', files)
  for (const name of ['a', 'b']) await symlink(`..data/${name}`, join(dir.path, name))
  const { find, problems, clock } = build([{ kind: 'dockerConfig', file: dir.path }])
  assert.deepEqual(await find('r.example/b/app'), ['b:p', 'a:p'])
  await publish(dir.path, '2026_2', {
    ...files,
    'b/.dockerconfigjson': dockerConfig('r.example/b', 'rotated:p'),
  })
  clock.time += A_SECOND
  assert.deepEqual(await find('r.example/b/app'), ['rotated:p', 'a:p'])
  assert.deepEqual(problems, [])
})

test('what is no file, or too large, is said and not read', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'large')
  await writeFile(file, Buffer.alloc(1024 * 1024 + 1, ' '))
  for (const path of [file, '/dev/null']) {
    const { find, problems } = build([{ kind: 'dockerConfig', file: path }])
    assert.deepEqual(await find('r.example/app'), [])
    assert.match(problems.join('\n'), /^\S+ is (larger than 1048576 bytes|not a file)$/)
  }
})
