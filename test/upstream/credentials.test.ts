import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { createLogger } from '../../src/log.ts'
import { parseRepository } from '../../src/oci/reference.ts'
import { matchesImage, parseImagePattern } from '../../src/upstream/credentials/image-match.ts'
import { createSources } from '../../src/upstream/credentials/sources.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { password } from './client.ts'

type Configs = Parameters<typeof createSources>[0]

function build(configs: Configs) {
  const log: string[] = []
  const destination = { write: (line: string) => void log.push(line) }
  const sources = createSources(
    configs,
    createLogger({ level: 'debug', format: 'json', destination }),
  )
  const find = async (image: string, from: 'own' | 'byHost' = 'own') => {
    const slash = image.indexOf('/')
    const repository = parseRepository(image.slice(slash + 1))
    const found = await sources[from].find(image.slice(0, slash), repository)
    return found.map(({ username, password, identityToken }) => {
      return [username, password, ...(identityToken === undefined ? [] : [identityToken])].join(':')
    })
  }
  return { sources, find, log }
}

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
  const { find, log } = build([{ ...password('u', ''), password: undefined, passwordFile }])
  assert.deepEqual(await find('r.example/app'), ['u: p w '])
  await writeFile(passwordFile, 'another\r\n')
  assert.deepEqual(await find('r.example/app'), ['u:another'])
  await rm(passwordFile)
  assert.deepEqual(await find('r.example/app'), [])
  assert.deepEqual(await find('r.example/app'), [])
  assert.equal(log.length, 1, 'it is said once')
  assert.match(log[0] ?? '', /ENOENT/)
  await writeFile(passwordFile, 'back')
  assert.deepEqual(await find('r.example/app'), ['u:back'])
})

test("the kubelet's rules of matching", () => {
  const cases: readonly [key: string, host: string, repository: string, matches: boolean][] = [
    ['*.example.com', 'a.example.com', 'x', true],
    ['*.example.com', 'example.com', 'x', false],
    ['*.example.com', 'a.b.example.com', 'x', false],
    ['*.*.example.com', 'a.b.example.com', 'x', true],
    ['*.dkr.ecr.*.amazonaws.com', '1.dkr.ecr.us-east-1.amazonaws.com', 'x', true],
    ['prefix*.example.com', 'prefix-1.example.com', 'x', true],
    ['r?.example.com', 'r1.example.com', 'x', true],
    ['example.com:5000', 'example.com', 'x', false],
    ['example.com:5000', 'example.com:5000', 'x', true],
    ['example.com', 'example.com:5000', 'x', false],
    ['example.com/team', 'example.com', 'team-b/x', true],
    ['example.com/team/', 'example.com', 'other/x', false],
    ['https://index.docker.io/v1/', 'docker.io', 'library/nginx', true],
    ['docker.io', 'docker.io', 'library/nginx', true],
    ['https://example.com/v2/team', 'example.com', 'team/x', true],
    ['EXAMPLE.com', 'example.COM', 'x', true],
    ['exampleXcom', 'example.com', 'x', false],
    ['(.*)+', 'aaaa', 'x', false],
  ]
  for (const [key, host, repository, expected] of cases) {
    const pattern = parseImagePattern(key)
    const matches = pattern !== undefined && matchesImage(pattern, host, repository)
    assert.equal(matches, expected, `${key} for ${host}/${repository}`)
  }
  assert.equal(parseImagePattern('https://'), undefined)
  assert.equal(parseImagePattern('u:p@example.com'), undefined)
})

function auth(text: string): string {
  return Buffer.from(text).toString('base64')
}

test("docker's, podman's and Kubernetes' files, most specific first, all that match", async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'config.json')
  const auths = {
    'r.example': { auth: auth('host:p:w\0\0') },
    'r.example/acme': { username: 'plain', password: 'p' },
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
    const { find, log } = build([{ kind: 'dockerConfig', file }])
    for (const [image, found] of expectations) {
      assert.deepEqual(await find(image), found, image)
      assert.deepEqual(await find(image, 'byHost'), found, image)
    }
    assert.deepEqual(log, [])
  }
})

test('a changed file is read again; helpers are named as missing; a broken file says no secret', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'config.json')
  const helpers = { credHelpers: { 'r.example': 'ecr-login' }, credsStore: 'desktop' }
  await writeFile(file, JSON.stringify(helpers))
  const { find, log } = build([{ kind: 'dockerConfig', file }, password('next', 'p')])
  assert.deepEqual(await find('r.example/app'), ['next:p'])
  assert.match(log.join(), /credHelpers/)
  await writeFile(file, JSON.stringify({ auths: { 'r.example': { auth: auth('u:p') } } }))
  assert.deepEqual(await find('r.example/app'), ['u:p', 'next:p'])
  await writeFile(file, `{"auths":{"r.example":{"auth":"${auth('u:secret')}"`)
  assert.deepEqual(await find('r.example/app'), ['next:p'])
  assert.match(log.at(-1) ?? '', /is not a JSON object/)
  assert.ok(!log.join().includes(auth('u:secret')))
})

test('fingerprints tell credentials apart, are of the process, and hold no secret', async () => {
  const repository = parseRepository('app')
  const find = async (configs: Configs) =>
    (await build(configs).sources.own.find('r.example', repository)).map((one) => one.fingerprint)
  const both = await find([password('u', 'p'), password('u', 'q'), password('u', 'p', 'app')])
  assert.equal(new Set(both).size, 2)
  assert.equal(both.length, 2, 'the same one twice is tried once')
  assert.notDeepEqual(await find([password('u', 'p')]), await find([password('u', 'p')]))
  for (const fingerprint of both) assert.match(fingerprint, /^[0-9a-f]{64}$/)
})

test('a kubelet credential provider is refused with a clear word', () => {
  const config = { kind: 'kubelet', configFile: '/x.yaml', binDir: '/x' } as const
  assert.throws(() => build([config]), /not available in this version/)
})
