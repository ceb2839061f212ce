import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { makeTempDir } from '../../support/temp-dir.ts'
import { password } from '../client.ts'
import { build } from './site.ts'

const A_SECOND = 1_000

test('a password is for a path by segment, the longest path first', async () => {
  const { find } = build([
    password('all', 'p'),
    password('acme', 'p', 'acme'),
    password('team', 'p', 'acme/team'),
  ])
  assert.deepEqual(await find('r.example/acme/team/app'), ['team:p', 'acme:p', 'all:p'])
  assert.deepEqual(await find('r.example/acme/team'), ['team:p', 'acme:p', 'all:p'])
  assert.deepEqual(await find('r.example/acme/teams'), ['acme:p', 'all:p'])
  assert.deepEqual(await find('r.example/acme-internal/app'), ['all:p'])
  assert.deepEqual(await find('r.example/acme/app', 'byHost'), [], 'it is for the registry only')
})

test('a password file loses its newline, and is read again when it changes', async () => {
  await using dir = await makeTempDir()
  const passwordFile = join(dir.path, 'password')
  await writeFile(passwordFile, ' p w \n')
  const { find, problems, clock } = build([
    { ...password('u', ''), password: undefined, passwordFile },
  ])
  assert.deepEqual(await find('r.example/app'), ['u: p w '])
  await writeFile(passwordFile, 'another\r\n')
  clock.time += A_SECOND
  assert.deepEqual(await find('r.example/app'), ['u:another'])
  await writeFile(passwordFile, '')
  clock.time += A_SECOND
  assert.deepEqual(await find('r.example/app'), ['u:another'], 'a file that is being written')
  assert.deepEqual(problems, [`${passwordFile} is empty; what it held before stays in use`])
  await rm(passwordFile)
  clock.time += A_SECOND
  assert.deepEqual(await find('r.example/app'), [])
  assert.deepEqual(await find('r.example/app'), [])
  assert.equal(problems.length, 2, 'it is said once')
  assert.match(problems[1] ?? '', /no such file \(ENOENT\)/)
  await writeFile(passwordFile, 'back')
  clock.time += A_SECOND
  assert.deepEqual(await find('r.example/app'), ['u:back'])
})

test('a file is looked at once a second, and at once after a refusal', async () => {
  await using dir = await makeTempDir()
  const passwordFile = join(dir.path, 'password')
  await writeFile(passwordFile, 'one')
  const { find, credentials, sources, clock } = build([
    { ...password('u', ''), password: undefined, passwordFile },
  ])
  const [refused] = await credentials('r.example/app')
  await writeFile(passwordFile, 'two')
  clock.time += A_SECOND - 1
  assert.deepEqual(await find('r.example/app'), ['u:one'])
  if (refused !== undefined) sources.own.invalidate?.(refused)
  assert.deepEqual(await find('r.example/app'), ['u:two'])
})

test('fingerprints tell credentials apart, are of the process, and hold no secret', async () => {
  const find = async (configs: Parameters<typeof build>[0]) =>
    (await build(configs).credentials('r.example/app')).map((one) => one.fingerprint)
  const both = await find([password('u', 'p'), password('u', 'q'), password('u', 'p', 'app')])
  assert.equal(new Set(both).size, 2)
  assert.equal(both.length, 2, 'the same one twice is tried once')
  assert.notDeepEqual(await find([password('u', 'p')]), await find([password('u', 'p')]))
  for (const fingerprint of both) assert.match(fingerprint, /^[0-9a-f]{64}$/)
})
