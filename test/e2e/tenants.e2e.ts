import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { assertNowhere, filesIn } from '../access/canaries.ts'
import { send } from '../support/http-client.ts'
import type { Image } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { type Containerd, startContainerd } from './containerd.ts'
import { nodeSetup } from './node-setup.ts'
import { type Podman, preparePodman } from './podman.ts'
import { countGets, PASSWORD, type RealRegistry, startRealRegistry, USER } from './real-registry.ts'
import { makeImage } from './site.ts'
import { skopeoCopy, skopeoRaw } from './skopeo.ts'

/** Two tenants of one registry; their pods' secrets, as the kubelet hands them over. */
const ANNA = { username: 'anna', password: 'canary-51c7-anna' }
const BERT = { username: 'bert', password: 'canary-51c7-bert' }
const WRONG = { username: 'anna', password: 'canary-51c7-wrong' }
const SECRETS = [ANNA, BERT, WRONG, { username: USER, password: PASSWORD }]

const PRIVATE = 'reg.test/team-a/app:v1'
const OTHERS = 'reg.test/team-b/app:v1'
const PUBLIC = 'reg.test/open/app:v1'
const REFUSED = /authorization|unauthorized|denied|401|403|forbidden/i

/** Passwords that the token server accepts: a secret is revoked by taking it out. */
const users: Record<string, string> = { [USER]: PASSWORD }
const images: Readonly<Record<'a' | 'b' | 'open', Image>> = {
  a: makeImage('tenant a'),
  b: makeImage('tenant b'),
  open: makeImage('for everybody'),
}

let registry: RealRegistry
let data: TempDir
let larder: RunningLarder
let nodes: readonly Containerd[] = []
let podman: Podman
/** `host:port` of Larder, as a person writes it before a repository. */
let host: string
/** What was said to anybody, to be searched for secrets. */
const heard: string[] = []

before(async () => {
  for (const { username, password } of [ANNA, BERT]) users[username] = password
  registry = await startRealRegistry('token', { users, mayUse })
  await registry.push('team-a/app', 'v1', images.a)
  await registry.push('team-b/app', 'v1', images.b)
  await registry.push('open/app', 'v1', images.open)
  data = await makeTempDir('larder-e2e-tenants-')
  nodes = [await startContainerd(), await startContainerd()]
  await start()
})

after(async () => {
  for (const node of nodes) await node[Symbol.asyncDispose]()
  await podman?.[Symbol.asyncDispose]()
  await larder?.close()
  await registry?.stop()
  await data?.remove()
})

async function start(): Promise<void> {
  const upstream = {
    name: 'reg.test',
    url: registry.url,
    access: 'caller',
    allowPlainChallenge: true,
    trustedRealms: [new URL(registry.tokens?.realm ?? '').origin],
  }
  larder = await startLarder({ upstreams: [upstream], dataDir: data.path })
  host = new URL(larder.url).host
  for (const node of nodes) await node.setMirror('reg.test', larder.url)
  await podman?.[Symbol.asyncDispose]()
  podman = await preparePodman(nodeSetup(larder.url, ['reg.test']))
}

async function restart(): Promise<void> {
  heard.push(JSON.stringify(larder.logs()), await metrics())
  await larder.close()
  await start()
}

async function metrics(): Promise<string> {
  return (await send(larder.adminUrl, '/metrics')).body.toString()
}

function mayUse(user: string | undefined, repository: string, action: string): boolean {
  if (user === USER) return true
  if (action !== 'pull') return false
  if (repository.startsWith('open/')) return true
  return repository.startsWith(user === ANNA.username ? 'team-a/' : 'team-b/') && user !== undefined
}

function node(index: number): Containerd {
  const found = nodes[index]
  if (found === undefined) throw new Error(`there is no node ${index}`)
  return found
}

/** As the kubelet asks for it; the runtime keeps nothing for the next test. */
async function pull(index: number, reference: string, secret?: typeof ANNA): Promise<string> {
  const { cri } = node(index)
  try {
    return await cri.pullImage(reference, secret)
  } catch (error) {
    heard.push(String(error))
    throw error
  }
}

async function assertRefused(index: number, reference: string, secret?: typeof ANNA) {
  await assert.rejects(pull(index, reference, secret), REFUSED)
}

test('a public image needs no secret, and a secret for something else does no harm', async () => {
  for (const secret of [undefined, ANNA, BERT, WRONG]) {
    assert.equal(await pull(0, PUBLIC, secret), images.open.config.digest)
    await node(0).cri.removeImage(PUBLIC)
  }
})

test('tenant A’s pod pulls its image, and fills the cache', async () => {
  await registry.forget()
  assert.equal(await pull(0, PRIVATE, ANNA), images.a.config.digest)
  for (const digest of images.a.blobs.keys()) {
    assert.equal(countGets(await registry.requests(), 'blobs', digest), 1)
  }
})

test('tenant B’s pod is refused A’s image though every byte is cached, on any node', async () => {
  for (const index of [0, 1]) {
    await assertRefused(index, PRIVATE, BERT)
    await assertRefused(index, PRIVATE, WRONG)
    await assertRefused(index, PRIVATE)
  }
  assert.deepEqual(await node(1).listContent('k8s.io'), [])
  assert.equal(await pull(1, OTHERS, BERT), images.b.config.digest, 'but not its own')
  await assertRefused(1, OTHERS, ANNA)
  await node(1).cri.removeImage(OTHERS)
})

test('A’s secret on another node hits the cache: at most one HEAD, and no blob', async () => {
  await registry.forget()
  assert.equal(await pull(1, PRIVATE, ANNA), images.a.config.digest)
  const asked = await registry.requests()
  assert.ok(asked.filter(({ method }) => method === 'HEAD').length <= 1, JSON.stringify(asked))
  assert.deepEqual(
    asked.filter(({ method }) => method !== 'HEAD'),
    [],
  )
  await node(1).cri.removeImage(PRIVATE)
})

test('a public image still needs none', async () => {
  assert.equal(await pull(1, PUBLIC), images.open.config.digest)
  await node(1).cri.removeImage(PUBLIC)
})

test('after a restart the right is shown anew, with one HEAD and no blob', async () => {
  await restart()
  await registry.forget()
  assert.equal(await pull(1, PRIVATE, ANNA), images.a.config.digest)
  const asked = (await registry.requests()).filter(({ status }) => status === 200)
  assert.deepEqual(
    asked.map(({ method, path }) => [method, path.split('?')[0]]),
    [['HEAD', '/v2/team-a/app/manifests/v1']],
  )
  await node(1).cri.removeImage(PRIVATE)
})

test('skopeo pulls with --creds, and not without or with another’s', async () => {
  const reference = `${host}/reg.test/team-a/app:v1`
  await registry.forget()
  await skopeoCopy(reference, '--src-creds', pairOf(ANNA))
  assert.equal(await skopeoRaw(reference, pairOf(ANNA)), images.a.manifest.bytes.toString())
  assert.equal(countGets(await registry.requests(), 'blobs'), 0)
  await assertNot(skopeoCopy(reference, '--src-creds', pairOf(BERT)))
  await assertNot(skopeoCopy(reference, '--src-creds', pairOf(WRONG)))
  await assertNot(skopeoCopy(reference))
  await skopeoCopy(`${host}/reg.test/open/app:v1`)
})

test('podman pulls with --creds by name, or through a mirror with its login at Larder', async () => {
  const named = `${host}/reg.test/team-a/app:v1`
  await assertNot(podman.pull(named))
  await assertNot(podman.pull(named, pairOf(BERT)))
  assert.equal(await podman.pull(named, pairOf(ANNA)), images.a.manifest.digest)
  await podman.remove(named)
  await assertNot(podman.pull(PRIVATE))
  // Podman does not send a registry's login to its mirror: it has to have one for Larder.
  await podman.login(host, pairOf(ANNA))
  await registry.forget()
  assert.equal(await podman.pull(PRIVATE), images.a.manifest.digest)
  assert.equal(countGets(await registry.requests(), 'blobs'), 0)
  await podman.remove(PRIVATE)
  await assertNot(podman.pull(OTHERS))
  assert.equal(await podman.pull(PUBLIC), images.open.manifest.digest)
})

test('a secret that was revoked is refused what it had pulled', async () => {
  delete users[ANNA.username]
  // What was shown is forgotten: here by a restart, else by time (test/access/gate.test.ts).
  await restart()
  await assertRefused(0, PRIVATE, ANNA)
  await assertRefused(1, PRIVATE, ANNA)
  assert.equal(await pull(1, OTHERS, BERT), images.b.config.digest)
  assert.equal(await pull(1, PUBLIC), images.open.config.digest)
})

test('no secret is in a log, a metric, an answer or any file of the cache', async () => {
  const { headers, body } = await send(larder.url, '/v2/team-a/app/manifests/v1?ns=reg.test', {
    headers: { Authorization: `Basic ${Buffer.from(pairOf(ANNA)).toString('base64')}` },
  })
  heard.push(await metrics(), JSON.stringify(headers), body.toString())
  heard.push(JSON.stringify(larder.logs()))
  for (const file of await filesIn(data.path)) heard.push(file)
  assert.ok(heard.some((text) => text.includes('team-a/app')))
  for (const { username: name, password } of SECRETS) {
    for (const text of heard) assertNowhere(text, { name, password })
  }
})

function pairOf({ username, password }: typeof ANNA): string {
  return `${username}:${password}`
}

async function assertNot(pulled: Promise<unknown>): Promise<void> {
  await assert.rejects(pulled, REFUSED)
}
