import { chmod, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { TAR_TYPE } from '../../src/admin/media-types.ts'
import type { Failpoint } from '../../src/store/failpoints.ts'
import { fullName, layoutOf, tarOf } from '../airgap/bundle/archives.ts'
import type { Random } from '../soak/random.ts'
import { type ClientRequest, type ClientResponse, send } from '../support/http-client.ts'
import { samplesOf, sumOf } from '../support/samples.ts'
import { readFiles } from './disk.ts'
import type { Victim } from './process.ts'
import { nameOf, type Promises } from './promises.ts'
import { REPOSITORY, UPSTREAM, type World } from './world.ts'

export interface LoadOptions {
  readonly world: World
  readonly promises: Promises
  readonly victim: Victim
  readonly random: Random
  readonly dataDir: string
  /** Told of what must not be. */
  readonly broken: (what: string) => void
}

type Action =
  | 'pullTag'
  | 'pullDigest'
  | 'range'
  | 'abort'
  | 'pin'
  | 'unpin'
  | 'purge'
  | 'shrink'
  | 'collect'
  | 'verify'
  | 'import'

const MIX: readonly Action[] = [
  ...(['pullTag', 'pullDigest', 'pullDigest', 'range', 'abort', 'pin', 'pin', 'unpin'] as const),
  ...(['purge', 'shrink', 'collect', 'verify'] as const),
]
/**
 * What leads to the points that begin so. A point that none of these and nothing of the mix leads to
 * is never hit, and the test of the loop says so.
 */
const WAYS: Readonly<Record<string, readonly Action[]>> = {
  ingest: ['pullDigest', 'pullDigest', 'purge'],
  commit: ['pullDigest', 'pullTag', 'purge'],
  put: ['pullTag', 'pullDigest', 'purge'],
  catalog: ['pullTag', 'pullDigest', 'purge'],
  evict: ['purge', 'shrink', 'collect', 'pullDigest'],
  pin: ['pin'],
  unpin: ['pin', 'unpin'],
  scrub: ['pullDigest', 'verify'],
  import: ['import', 'import', 'purge'],
}
const REFUSED: ReadonlySet<number> = new Set([502, 503, 504])
const MAX_PINS = 4
const AT_ONCE = 4
const DEATH_MS = 5_000
const ANSWER_MS = 30_000
const LOOK_MS = 2

/** Clients and an operator, who know what they should get, and look. */
export class Load {
  readonly #options: LoadOptions
  readonly #mix: readonly Action[]
  /** References that an operator is changing: the answers of two at once would say nothing. */
  readonly #busy = new Set<string>()

  /** @param toward the failpoint that is to be hit */
  constructor(options: LoadOptions, toward?: Failpoint) {
    this.#options = options
    const way = WAYS[toward?.split('.')[0] ?? ''] ?? []
    this.#mix = [...MIX, ...way, ...way, ...way, ...way, ...way]
  }

  /** Some things at once, and then a moment in which no download is under way. */
  async step(): Promise<void> {
    const { world, random, victim } = this.#options
    if (random.below(4) === 0) world.move(random.pick(world.tags), random)
    if (random.below(3) === 0) world.misbehave(random)
    const actions = Array.from({ length: 1 + random.below(AT_ONCE) }, () => random.pick(this.#mix))
    // What is damaged while it is checked, or served from memory, is nobody's fault.
    if (actions.includes('verify')) await this.#attempt(() => this.#act('verify'))
    const others = actions.filter((action) => action !== 'verify')
    await Promise.all(others.map((action) => this.#attempt(() => this.#act(action))))
    world.behave()
    if (!victim.isDead) await this.#attempt(() => this.settle())
    if (!victim.isDead) await this.#attempt(() => this.#prove())
  }

  /** Resolves once no download is under way. */
  async settle(): Promise<void> {
    for (;;) {
      const { body } = await send(this.#options.victim.adminUrl, '/metrics')
      if (sumOf(samplesOf(body.toString()), 'larder_inflight_fetches') === 0) return
      await sleep(LOOK_MS)
    }
  }

  /** An image that can be had has to be had whole. */
  async pullImage(digest: string): Promise<void> {
    const { world, broken } = this.#options
    for (const one of [digest, ...world.imageOf(digest).blobs.keys()]) {
      if (!(await this.#pullOne(one))) broken(`promise 5: ${one} could not be pulled`)
    }
  }

  /** Removes what nothing names, and what downloads and damage have left behind. */
  collect(): Promise<void> {
    return this.#expect('/gc', { olderThan: '1ms' })
  }

  /** Of an image that is pinned. */
  async pullWhole(digest: string): Promise<void> {
    const { world, broken } = this.#options
    const image = world.imageOf(digest)
    for (const [one, bytes] of [[digest, image.manifest.bytes] as const, ...image.blobs]) {
      const got = await this.#get(this.#pathOf(one))
      const isRight = got.status === 200 && got.complete && got.body.equals(bytes)
      if (!isRight)
        broken(`promise 11: ${one} of the pinned ${digest} is ${got.status} ${shown(got)}`)
    }
  }

  /** Hashes everything and fetches what is damaged. */
  async verify(): Promise<void> {
    const { broken, promises, dataDir, victim, world } = this.#options
    const { status, body } = await this.#change('/verify', { repair: true })
    const last = body.toString().trim().split('\n').at(-1) ?? ''
    if (status !== 200 || !last.includes('"done"')) {
      return broken(`verify: ${status} ${last}`)
    }
    // What a killed process has stored and not written down belongs nowhere that it knows of.
    const { unrepaired = [] } = JSON.parse(last) as { unrepaired?: { places: string[] }[] }
    const forgotten = unrepaired.filter(({ places }) => places.length > 0)
    const warned = victim.lines.filter(({ level }) => level === 'warn').slice(-5)
    // Where all the cap is pinned or in use there is no room to fetch it, and it says so.
    const hasRoom = !warned.some(({ msg }) => `${msg}`.startsWith('no room to store'))
    if (forgotten.length > 0 && hasRoom) {
      broken(`promise 5: not everything was repaired: ${last}\n${JSON.stringify(warned)}`)
    }
    const files = [...(await readFiles(dataDir, 'blobs'))]
    for (const digest of promises.injured) {
      const [, bytes] = files.find(([path]) => path.endsWith(hexIn(digest))) ?? []
      const isRight = bytes === undefined || world.contents.get(digest)?.equals(bytes)
      if (!isRight) broken(`${digest} is still damaged after a verification: ${last}`)
    }
    promises.injured.clear()
  }

  #act(action: Action): Promise<void> {
    const { random, world } = this.#options
    switch (action) {
      case 'pullTag':
        return this.#pullTag(random.pick(world.tags))
      case 'pullDigest':
        return this.#pullDigest(random.pick(world.images).manifest.digest)
      case 'range':
        return this.#range()
      case 'abort':
        return this.#abort()
      case 'pin':
        return this.#pin()
      case 'unpin':
        return this.#unpin()
      case 'purge':
        return this.#purge()
      case 'shrink':
        return this.#expect('/purge', { downTo: `${random.below(3)}MiB` })
      case 'collect':
        return this.collect()
      case 'verify':
        return this.#verifyDamaged()
      case 'import':
        return this.#import()
      default:
        throw new Error(action satisfies never)
    }
  }

  async #pullTag(tag: string): Promise<void> {
    const { world, broken } = this.#options
    const got = await this.#get(this.#pathOf(tag))
    if (!this.#isServed(got, tag)) return
    const digest = String(got.headers['docker-content-digest'])
    const isRight = got.body.equals(world.contents.get(digest) ?? Buffer.alloc(0))
    const hasMeant = world.hasMeant(tag).some((one) => one === digest)
    if (!isRight || !hasMeant) return broken(`promise 1: ${tag} is ${digest}, ${shown(got)}`)
    await this.#pullBlobs(digest)
  }

  async #pullDigest(digest: string): Promise<void> {
    if (await this.#pullOne(digest)) await this.#pullBlobs(digest)
  }

  async #pullBlobs(digest: string): Promise<void> {
    const { world, random } = this.#options
    const blobs = [...world.imageOf(digest).blobs.keys()]
    await Promise.all([...blobs, random.pick(blobs)].map((one) => this.#pullOne(one)))
  }

  /** @returns whether it came */
  async #pullOne(digest: string): Promise<boolean> {
    const { world, broken } = this.#options
    const got = await this.#get(this.#pathOf(digest))
    if (!this.#isServed(got, digest)) return false
    const isRight = got.body.equals(world.contents.get(digest) ?? Buffer.alloc(0))
    if (!isRight) broken(`promise 1: wrong bytes in a complete 200 for ${digest}`)
    return isRight
  }

  async #range(): Promise<void> {
    const { world, random, broken } = this.#options
    const [digest, bytes] = random.pick([...random.pick(world.images).blobs])
    const start = random.below(bytes.length)
    const end = start + random.below(bytes.length - start)
    const got = await this.#get(this.#pathOf(digest), { range: `bytes=${start}-${end}` })
    if (!this.#isServed(got, digest, 206)) return
    const isRight = got.body.equals(bytes.subarray(start, end + 1))
    if (!isRight) broken(`promise 1: wrong bytes in a complete 206 for ${digest}`)
  }

  async #abort(): Promise<void> {
    const { world, random } = this.#options
    const [digest, bytes] = random.pick([...random.pick(world.images).blobs])
    await this.#get(this.#pathOf(digest), { abortAfter: 1 + random.below(bytes.length) })
  }

  async #pin(): Promise<void> {
    const { promises, random, world } = this.#options
    if (promises.references.length >= MAX_PINS) return this.#unpin()
    const isTag = random.below(2) === 0
    const reference = isTag ? random.pick(world.tags) : random.pick(world.small).manifest.digest
    const follow = isTag && random.below(3) === 0
    await this.#alone(reference, async () => {
      const got = await this.#get(this.#pathOf(reference))
      if (!this.#isServed(got, reference)) return
      promises.asksToPin(reference, follow)
      const { status, body } = await this.#change('/pins', {
        references: [nameOf(reference)],
        follow,
      })
      if (status !== 200) return this.#options.broken(`pin: ${status} ${body}`)
      const { pins } = JSON.parse(body.toString()) as { pins: { digest: string }[] }
      const [pin] = pins
      if (pin !== undefined) promises.isPinned(reference, pin.digest, follow)
    })
  }

  async #unpin(): Promise<void> {
    const { promises, random } = this.#options
    if (promises.references.length === 0) return
    const reference = random.pick(promises.references)
    await this.#alone(reference, async () => {
      promises.asksToUnpin(reference)
      const query = new URLSearchParams({ reference: nameOf(reference) })
      const { status, body } = await this.#change(`/pins?${query}`, undefined, 'DELETE')
      if (status !== 200) return this.#options.broken(`unpin: ${status} ${body}`)
      promises.isUnpinned(reference)
    })
  }

  async #purge(): Promise<void> {
    const { random, world, promises } = this.#options
    const isTag = random.below(3) === 0
    const reference = isTag ? random.pick(world.tags) : random.pick(world.images).manifest.digest
    const force = random.below(4) === 0
    await this.#alone(reference, async () => {
      if (force) promises.asksToForce(reference)
      await this.#expect('/purge', { references: [nameOf(reference)], force })
      if (force) promises.isUnpinned(reference)
    })
  }

  /** An archive of an image, without a tag: where those point is for the registry to say. */
  async #import(): Promise<void> {
    const { random, world, broken, victim } = this.#options
    const image = random.pick(world.images)
    const { digest } = image.manifest
    const name = `${UPSTREAM}/${REPOSITORY}@${digest}`
    const body = tarOf(layoutOf([{ image, annotations: fullName(name) }]))
    const headers = { 'Content-Type': TAR_TYPE }
    const signal = AbortSignal.timeout(ANSWER_MS)
    const options = { method: 'POST', headers, body, signal }
    const got = await send(victim.adminUrl, '/api/v1/import', options)
    if (!got.complete) throw new Error('an import was answered by half')
    const last = got.body.toString().trim().split('\n').at(-1) ?? ''
    const isDone = last.includes('"done"') && last.includes('"refused":0')
    if (!isDone && !last.includes('"NO_ROOM"')) broken(`import: ${got.status} ${got.body}`)
  }

  /** Some content rots or goes behind Larder's back, and a verification finds it. */
  async #verifyDamaged(): Promise<void> {
    const { random, dataDir, promises, world } = this.#options
    world.behave()
    await this.settle()
    const files = [...(await readFiles(dataDir, 'blobs'))].sort(([a], [b]) => (a < b ? -1 : 1))
    const [path, bytes] = files.length === 0 ? [] : random.pick(files)
    if (path === undefined || bytes === undefined || bytes.length === 0) return
    const digest = [...world.contents.keys()].find((one) => path.endsWith(hexIn(one)))
    if (digest === undefined) return
    promises.injured.add(digest)
    if (random.below(4) === 0) await unlink(join(dataDir, path))
    else await damage(join(dataDir, path), bytes, random)
    await this.verify()
  }

  /** Each content of a pinned image is asked for until all of it is here. */
  async #prove(): Promise<void> {
    const { promises, world } = this.#options
    for (const [reference, digest] of promises.unproven) {
      const contents = [digest, ...world.imageOf(digest).blobs.keys()]
      for (const one of contents) await this.#pullOne(one)
      await this.settle()
      const isHit = async (one: string) => {
        const { headers } = await this.#get(this.#pathOf(one), { method: 'HEAD' })
        return /; hit\b/.test(String(headers['cache-status']))
      }
      const hits = await Promise.all(contents.map(isHit))
      if (hits.every(Boolean)) promises.isWhole(reference, digest)
    }
  }

  async #alone(reference: string, work: () => Promise<void>): Promise<void> {
    if (this.#busy.has(reference)) return
    this.#busy.add(reference)
    await work().finally(() => this.#busy.delete(reference))
  }

  async #expect(path: string, body: object): Promise<void> {
    const got = await this.#change(path, body)
    if (got.status !== 200) this.#options.broken(`${path}: ${got.status} ${got.body}`)
  }

  /** An answer that was cut off, or refused for the registry's sake, is an honest failure. */
  #isServed(got: ClientResponse, what: string, status = 200): boolean {
    if (REFUSED.has(got.status)) return false
    if (got.status !== status) this.#options.broken(`${what} is ${got.status} ${shown(got)}`)
    return got.status === status && got.complete
  }

  /** Whoever is killed answers nothing: only who lives has to. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    const { victim, broken } = this.#options
    try {
      await work()
    } catch (error) {
      if (victim.isDead || (await victim.endsWithin(DEATH_MS))) return
      broken(`promise 10: a request found no answer: ${String(error)}`)
    }
  }

  #get(path: string, options: ClientRequest = {}): Promise<ClientResponse> {
    const signal = AbortSignal.timeout(ANSWER_MS)
    return send(this.#options.victim.url, path, { ...options, signal })
  }

  async #change(path: string, body: object | undefined, method = 'POST'): Promise<ClientResponse> {
    const headers = { 'Content-Type': 'application/json' }
    const content = body === undefined ? {} : { body: JSON.stringify(body) }
    const signal = AbortSignal.timeout(ANSWER_MS)
    const url = this.#options.victim.adminUrl
    const got = await send(url, `/api/v1${path}`, { method, headers, signal, ...content })
    // Half an answer acknowledges nothing.
    if (!got.complete) throw new Error(`${path} was answered by half`)
    return got
  }

  #pathOf(reference: string): string {
    const bytes = this.#options.world.contents.get(reference)
    const isManifest = bytes === undefined || this.#isManifest(reference)
    return `/v2/${REPOSITORY}/${isManifest ? 'manifests' : 'blobs'}/${reference}`
  }

  #isManifest(digest: string): boolean {
    return this.#options.world.images.some(({ manifest }) => manifest.digest === digest)
  }
}

async function damage(path: string, bytes: Buffer, random: Random): Promise<void> {
  await chmod(path, 0o644)
  if (random.below(3) === 0) return truncate(path, random.below(bytes.length))
  const flipped = Buffer.from(bytes)
  const at = random.below(flipped.length)
  flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << random.below(8)), at)
  await writeFile(path, flipped)
}

function hexIn(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1)
}

function shown({ body, complete }: ClientResponse): string {
  return `${complete ? 'complete' : 'cut off'}, ${body.length} bytes: ${body.toString('latin1', 0, 200)}`
}
