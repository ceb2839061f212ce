import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { open, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'

import { type Digest, isDigest } from '../../src/oci/digest.ts'
import { codeOf, DataDirectoryInUseError } from '../../src/store/errors.ts'
import { acquireLock } from '../../src/store/lock.ts'
import { cutFile, flipByte, pathOf } from '../store/integrity-site.ts'
import { Client, type Moment } from './client.ts'
import { Expectations, type PinModel } from './expectations.ts'
import { CAPS, DAY, HOUR, MINUTE, Site } from './site.ts'
import type { Ask, Step, Story } from './steps.ts'
import { at, REPOSITORIES, TAGS, Universe } from './universe.ts'

const PATTERNS = ['docker.io/library/*:v*', 'docker.io/**', 'docker.io/team/tool:latest'] as const
const PASSES = [MINUTE, 2 * HOUR, 2 * DAY, 8 * DAY] as const
const YEARS = 3650 * DAY
const SETS = [YEARS, -YEARS, 2 * DAY, -2 * DAY, HOUR] as const
const FILL = 'library/fill'
const REMOVING: ReadonlySet<Step['do']> = new Set([
  'purge',
  'shrink',
  'expire',
  'gc',
  'unpin',
  'untag',
])
/** Longer than what nobody uses is kept by `expire`. */
const UNUSED_MS = 60 * DAY
/** How often it is looked whether what was closed is closed. */
const MAX_LOOKS = 100_000

/** Plays one story, and throws where a promise is broken. */
export async function play(story: Story, universe = new Universe()): Promise<void> {
  const descriptors = countDescriptors()
  const site = await Site.open(story.start)
  try {
    await new Run(site, universe, story).play()
  } catch (error) {
    if (error instanceof Error) error.message += `\n${site.trace.join('\n')}`
    throw error
  } finally {
    await site[Symbol.asyncDispose]()
  }
  for (let looks = 0; countDescriptors() > descriptors; looks++) {
    assert.ok(looks < MAX_LOOKS, 'I9: a descriptor is left open')
    await setImmediate()
  }
}

function countDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}

class Run {
  readonly #site: Site
  readonly #universe: Universe
  readonly #story: Story
  readonly #expected: Expectations
  /** Names of pins that were ended, in the order in which that was asked. */
  readonly #unpinned: string[] = []
  readonly #client: Client

  constructor(site: Site, universe: Universe, story: Story) {
    const { cap, policy } = story.start
    this.#site = site
    this.#universe = universe
    this.#story = story
    this.#expected = new Expectations(site, universe, policy, at(CAPS, cap))
    this.#client = new Client(site, this.#expected)
    for (const [i, repository] of REPOSITORIES.entries()) {
      for (const [j, tag] of TAGS.entries()) this.#move(repository, tag, 2 * j + i)
    }
    for (const [i, content] of universe.contents.entries()) {
      site.registry.add(FILL, content, `c${i}`)
      this.#expected.tagged(FILL, `c${i}`, content.manifest.digest)
    }
    this.#expected.forgetLacked()
  }

  async play(): Promise<void> {
    for (const step of this.#story.steps) {
      this.#site.note(JSON.stringify(step))
      await this.#take(step)
      await this.#settle(step.do)
    }
    await this.#end()
  }

  async #take(step: Step): Promise<void> {
    const site = this.#site
    const expected = this.#expected
    switch (step.do) {
      case 'together': {
        const since = expected.now
        const isCalm = step.asks.every((ask) => !REMOVING.has(ask.do))
        const moment = { since, isAlone: false, isCalm }
        const unpinned = this.#unpinned.length
        await Promise.all(step.asks.map((ask) => this.#ask(ask, moment)))
        // Which of a pin and its end came first is not known by whose answer did.
        for (const name of this.#unpinned.slice(unpinned)) expected.unpinned(name)
        return
      }
      case 'fault':
        return site.setFault(step.fault, step.byte)
      case 'damage':
        return this.#damage(step.file, step.how, step.byte)
      case 'damagePart':
        return this.#damagePart(step.file, step.byte)
      case 'restart':
        return this.#restart(step.database)
      case 'kill':
        return this.#kill()
      case 'refuse':
        expected.mayRefuse = true
        expected.wasRefused = true
        site.refuse(step.after)
        return
      case 'pass':
        site.clock.pass(at(PASSES, step.time))
        expected.passed()
        return
      case 'setClock':
        site.clock.set(at(SETS, step.to))
        expected.clockSet(at(SETS, step.to))
        return
      case 'cap':
        expected.setCap(at(CAPS, step.cap))
        expected.forgetLacked()
        return site.reload({ maxBytes: at(CAPS, step.cap) })
      case 'policy':
        expected.setPolicy(step.policy)
        expected.forgetLacked()
        return site.setPolicy(step.policy)
      case 'offline':
        expected.forgetLacked()
        return site.setOffline(step.offline)
      case 'second':
        assert.throws(() => acquireLock(site.app.dataDir), DataDirectoryInUseError, 'I20')
        return
      default:
        return this.#ask(step, { since: expected.now, isAlone: true, isCalm: true })
    }
  }

  async #ask(ask: Ask, moment: Moment): Promise<void> {
    const client = this.#client
    const universe = this.#universe
    switch (ask.do) {
      case 'pull':
        return client.pull(at(REPOSITORIES, ask.repository), at(TAGS, ask.tag), moment)
      case 'manifest': {
        const { digest } = universe.content(ask.content).manifest
        return client.manifest(at(REPOSITORIES, ask.repository), digest, ask.head, moment)
      }
      case 'blob': {
        const digest = universe.blob(ask.blob)
        return client.blob(at(REPOSITORIES, ask.repository), digest, ask.head, moment)
      }
      case 'ranges': {
        const digest = universe.blob(ask.blob)
        return client.ranges(at(REPOSITORIES, ask.repository), digest, ask.ranges, moment)
      }
      case 'leave': {
        const digest = universe.blob(ask.blob)
        return client.leave(at(REPOSITORIES, ask.repository), digest, ask.after, moment)
      }
      case 'slowly':
        return client.slowly(at(REPOSITORIES, ask.repository), universe.blob(ask.blob), moment)
      case 'fill':
        for (const i of universe.contents.keys()) await client.pull(FILL, `c${i}`, moment)
        return
      case 'move':
        return this.#move(at(REPOSITORIES, ask.repository), at(TAGS, ask.tag), ask.content)
      case 'untag':
        return this.#untag(at(REPOSITORIES, ask.repository), at(TAGS, ask.tag))
      default:
        return this.#operate(ask, moment)
    }
  }

  // The registry

  #move(repository: string, tag: string, index: number): void {
    const content = this.#universe.content(index)
    const expected = this.#expected
    const { digest } = content.manifest
    // Who asks at this very moment may still be told that it is not there.
    for (const one of this.#universe.reach(digest)) {
      if (!expected.has(repository, one)) expected.lacked(repository, one)
    }
    this.#site.registry.add(repository, content, tag)
    if (expected.current(repository, tag) !== digest) expected.tagged(repository, tag, digest)
  }

  #untag(repository: string, tag: string): void {
    if (this.#expected.current(repository, tag) === undefined) return
    this.#site.registry.content.deleteManifest(repository, tag)
    this.#expected.tagged(repository, tag, undefined)
  }

  // The operator

  async #operate(ask: Extract<Ask, { do: OperatorAsk }>, moment: Moment): Promise<void> {
    switch (ask.do) {
      case 'pin':
        return this.#pinTag(at(REPOSITORIES, ask.repository), at(TAGS, ask.tag), ask, moment)
      case 'pinDigest':
        return this.#pinDigest(at(REPOSITORIES, ask.repository), ask.content, moment)
      case 'pinPattern':
        return this.#pinPattern(at(PATTERNS, ask.pattern))
      case 'unpin':
        return this.#unpin(ask.pin)
      case 'purge':
        return this.#purge(at(REPOSITORIES, ask.repository), at(TAGS, ask.tag), ask.force)
      case 'shrink':
        await this.#change('POST', '/purge', { downTo: `${1 + ask.kib}KiB` })
        return
      case 'expire':
        return this.#expire()
      case 'gc':
        await this.#change('POST', '/gc', { olderThan: '1h' })
        return
      case 'verify':
        return this.#verify(ask.repair, moment)
      default:
        ask satisfies never
    }
  }

  /** @returns what it answered; `undefined`: the store refused, as it may */
  async #change(method: string, path: string, input?: object): Promise<unknown> {
    const { status, body } = await this.#site.change(method, path, input)
    if (status === 200) return JSON.parse(body.toString())
    assert.ok(this.#expected.mayRefuse, `${method} ${path}: ${status} ${body}`)
    return undefined
  }

  async #pinTag(
    repository: string,
    tag: string,
    { follow, expires }: { readonly follow: boolean; readonly expires: boolean },
    moment: Moment,
  ): Promise<void> {
    const expected = this.#expected
    const name = `docker.io/${repository}:${tag}`
    const must = moment.isAlone && expected.mustServeTag(repository, tag, true)
    const expiry = expires ? { expires: '1h' } : {}
    const digest = await this.#pin({ references: [name], follow, ...expiry }, name, must)
    if (digest === undefined) return
    const endsAt = expires ? expected.now + HOUR : Number.POSITIVE_INFINITY
    const proven = expected.provenNow(repository, digest)
    const isSure = moment.isAlone || !follow
    expected.pinned({
      kind: 'tag',
      name,
      repository,
      tag,
      digest: isSure ? digest : undefined,
      follow,
      endsAt,
      proven,
    })
  }

  async #pinDigest(repository: string, content: number, moment: Moment): Promise<void> {
    const expected = this.#expected
    const { digest } = this.#universe.content(content).manifest
    const name = `docker.io/${repository}@${digest}`
    const must = moment.isAlone && expected.mustServe(repository, digest, true)
    if ((await this.#pin({ references: [name] }, name, must)) === undefined) return
    const proven = expected.provenNow(repository, digest)
    const fixed = { kind: 'digest', follow: false, endsAt: Number.POSITIVE_INFINITY } as const
    expected.pinned({ ...fixed, name, repository, tag: '', digest, proven })
  }

  /** @returns what is pinned from now on */
  async #pin(request: object, name: string, must: boolean): Promise<Digest | undefined> {
    const answer = (await this.#change('POST', '/pins', request)) as PinAnswer | undefined
    if (answer === undefined) this.#expected.unpinned(name)
    const digest = answer?.pins[0]?.digest
    const mayFail = !must || this.#expected.mayRefuse
    assert.ok(digest !== undefined || mayFail, `${name} is here and cannot be pinned`)
    return digest
  }

  async #pinPattern(pattern: string): Promise<void> {
    const answer = await this.#change('POST', '/pins', { pattern })
    if (answer === undefined) return this.#expected.unpinned(pattern)
    const nothing = { repository: '', tag: '', digest: undefined, proven: new Set<Digest>() }
    const always = { follow: true, endsAt: Number.POSITIVE_INFINITY }
    this.#expected.pinned({ kind: 'pattern', name: pattern, ...nothing, ...always })
  }

  async #unpin(index: number): Promise<void> {
    const expected = this.#expected
    if (expected.pins.length === 0) return
    const pin = at(expected.pins, index)
    expected.unpinned(pin.name)
    this.#unpinned.push(pin.name)
    const key = pin.kind === 'pattern' ? 'pattern' : 'reference'
    await this.#change('DELETE', `/pins?${key}=${encodeURIComponent(pin.name)}`)
  }

  async #purge(repository: string, tag: string, force: boolean): Promise<void> {
    const references = [`docker.io/${repository}:${tag}`]
    // From the moment on it is asked, nothing of it is certain.
    this.#expected.purged(repository, tag, force)
    await this.#change('POST', '/purge', { references, force })
    this.#expected.purged(repository, tag, force)
  }

  /** I21: only time that has passed makes anything old, however the wall clock was set. */
  async #expire(): Promise<void> {
    const { leapMs } = this.#expected
    const isYoung = this.#site.clock.passedMs + leapMs < UNUSED_MS - DAY
    const answer = await this.#change('POST', '/purge', { unusedFor: '60d' })
    if (answer === undefined || !isYoung) return
    const { blobs, manifests } = answer as { blobs: number; manifests: number }
    assert.equal(blobs + manifests, 0, 'I21: what was used not long ago is taken for old')
  }

  async #verify(repair: boolean, { isAlone }: Moment): Promise<void> {
    const site = this.#site
    const expected = this.#expected
    const { status, body } = await site.change('POST', '/verify', { repair })
    if (status === 409 && !isAlone) return
    assert.equal(status, 200)
    if (expected.mayRefuse) return
    const last = JSON.parse(body.toString().trim().split('\n').at(-1) ?? '') as Verified
    assert.equal(last.event, 'done')
    if (!isAlone) return
    for (const [digest, { isRight }] of site.disk.files()) {
      assert.ok(isRight, `I6: ${digest} is damaged and was not found`)
    }
    if (!repair || !site.isUp || !expected.isAmple) return
    for (const { digest, places } of last.unrepaired) {
      const repositories = places.map((place) => place.slice('docker.io/'.length))
      const isLost = repositories.every((repository) => expected.mayLack(repository, digest))
      assert.ok(isLost, `I6: ${digest} could be had, and was not repaired`)
    }
  }

  // What befalls it

  async #damage(index: number, how: 'delete' | 'flip' | 'cut', byte: number): Promise<void> {
    const { disk, app } = this.#site
    const files = [...disk.files()].sort(([one], [other]) => (one < other ? -1 : 1))
    if (files.length === 0) return
    const [digest, { size }] = at(files, index)
    this.#site.note(`  ${how} ${digest}`)
    this.#expected.hurt(digest, how)
    const hurt = async () => {
      if (how === 'delete' || size === 0) return unlink(pathOf(app.dataDir, digest))
      if (how === 'flip') return flipByte(app.dataDir, digest, byte % size)
      return cutFile(app.dataDir, digest, byte % size)
    }
    await hurt().catch((error: unknown) => {
      // A smaller cap, or who was told to remove it, came first.
      if (codeOf(error) !== 'ENOENT') throw error
    })
  }

  async #damagePart(index: number, byte: number): Promise<void> {
    const { disk } = this.#site
    const parts = [...disk.parts()].filter(([, size]) => size > 0)
    if (parts.length === 0) return
    const [digest, size] = at(parts, index)
    this.#expected.hurt(digest, 'part')
    const handle = await open(disk.partPath(digest), 'r+')
    try {
      const bytes = Buffer.alloc(1)
      await handle.read(bytes, 0, 1, byte % size)
      await handle.write(Buffer.of((bytes[0] ?? 0) ^ 1), 0, 1, byte % size)
    } finally {
      await handle.close()
    }
  }

  async #restart(database: 'kept' | 'deleted' | 'garbled' | 'cut'): Promise<void> {
    const expected = this.#expected
    const acknowledged = expected.pins.filter((pin) => expected.isInForce(pin))
    const file = join(this.#site.app.dataDir, 'larder.db')
    await this.#site.restart(async () => {
      expected.restarted(database !== 'kept')
      const { size } = await stat(file)
      if (database === 'deleted') await rm(file)
      if (database === 'garbled') await writeFile(file, Buffer.alloc(size, 'x'))
      if (database === 'cut') await truncate(file, Math.floor(size / 2))
    })
    await this.#checkPins(acknowledged)
  }

  async #kill(): Promise<void> {
    const expected = this.#expected
    const acknowledged = expected.pins.filter((pin) => expected.isInForce(pin))
    expected.killed()
    await this.#site.kill()
    await this.#checkPins(acknowledged)
  }

  // Looks

  async #settle(what: Step['do']): Promise<void> {
    const { registry, disk } = this.#site
    const fetched = registry.requests.filter(
      ({ method, path }) => method === 'GET' && isContent(path),
    )
    if (fetched.some(({ path }) => path.includes('/blobs/'))) await this.#site.settled()
    for (const { path } of fetched) {
      const [, repository = '', reference = ''] = CONTENT.exec(path) ?? []
      const tag = isDigest(reference) ? undefined : reference
      const digest = isDigest(reference) ? reference : this.#expected.current(repository, reference)
      if (digest !== undefined) this.#expected.fetched(repository, digest, tag)
    }
    registry.forget()
    this.#checkHealed()
    this.#expected.checkDisk(disk, what === 'cap')
  }

  /** I6: what was damaged and has been served right since is right again, or gone. */
  #checkHealed(): void {
    const files = this.#site.disk.files()
    const { sent } = this.#client
    for (const digest of sent) {
      if (this.#expected.mayRefuse || this.#universe.manifests.has(digest)) continue
      assert.ok(files.get(digest)?.isRight !== false, `I6: ${digest} stays damaged`)
    }
    sent.clear()
  }

  /** With everything well again, everything heals, fits, and ends. */
  async #end(): Promise<void> {
    const site = this.#site
    const expected = this.#expected
    site.note('the end')
    if (expected.mayRefuse) await this.#restart('kept')
    // Nothing is fresh any more, and nobody can be asked.
    await site.setFault('down', 0)
    site.clock.pass(2 * HOUR)
    await this.#pullAll()
    await this.#settle('pull')
    // All that may go goes.
    await this.#change('POST', '/purge', { downTo: '1KiB' })
    expected.checkDisk(site.disk, true)
    await site.setFault('none', 0)
    if (site.isOffline) await site.setOffline(false)
    await this.#pullAll()
    await this.#settle('cap')
    await this.#checkPins(expected.pins)
    await this.#checkRoom()
    const left = site.disk.ingest().filter((name) => !name.endsWith('.part'))
    assert.deepEqual(left, [], 'I9: a temporary file is left')
  }

  async #pullAll(): Promise<void> {
    for (const tag of TAGS) {
      const moment = { since: this.#expected.now, isAlone: true, isCalm: true }
      await this.#client.pull(at(REPOSITORIES, 0), tag, moment)
    }
  }

  /** I4, and that pins follow: those that were acknowledged are there, and keep what they should. */
  async #checkPins(wanted: readonly PinModel[]): Promise<void> {
    const list = async () => {
      const { pins } = (await this.#change('GET', '/pins')) as { pins: ListedPin[] }
      return new Map(pins.map((pin) => [pin.name, pin]))
    }
    for (const pin of wanted) {
      // A pin follows behind the answer that its tag has moved.
      const isAsWanted = async () => {
        const listed = (await list()).get(pin.name)
        const isSame = pin.digest === undefined || listed?.digest === pin.digest
        return !this.#expected.isInForce(pin) || (listed !== undefined && isSame)
      }
      for (let looks = 0; !(await isAsWanted()); looks++) {
        assert.ok(looks < 100, `I4: the pin of ${pin.name} is lost, or keeps something else`)
      }
    }
  }

  /** What is above the cap goes, but for what is pinned and what is unfinished. */
  async #checkRoom(): Promise<void> {
    const { disk, clock } = this.#site
    const expected = this.#expected
    // Nobody reads any more, and what was opened for nobody is let go.
    clock.pass(MINUTE)
    await this.#site.reload({})
    // What exactly these keep is not certain.
    if (expected.pins.some((pin) => pin.kind === 'pattern' || pin.follow)) return
    const isOver = () => {
      const pinned = expected.pinnedBytes(disk)
      const parts = [...disk.parts().values()].reduce((sum, size) => sum + size, 0)
      return expected.usedBytes(disk) > Math.max(expected.maxBytes, pinned + parts)
    }
    for (let looks = 0; isOver(); looks++) {
      assert.ok(looks < 1000, `${expected.usedBytes(disk)} of ${expected.maxBytes} bytes stay`)
      await setImmediate()
    }
    expected.checkDisk(disk, true)
  }
}

type OperatorAsk =
  | 'pin'
  | 'pinDigest'
  | 'pinPattern'
  | 'unpin'
  | 'purge'
  | 'shrink'
  | 'expire'
  | 'gc'
  | 'verify'

interface PinAnswer {
  readonly pins: readonly { readonly digest: Digest }[]
}

interface ListedPin {
  readonly name: string
  readonly digest?: Digest
}

interface Verified {
  readonly event: string
  readonly unrepaired: readonly { readonly digest: Digest; readonly places: readonly string[] }[]
}

const CONTENT = /^\/v2\/(.+)\/(?:blobs|manifests)\/([^/]+)$/

function isContent(path: string): boolean {
  return CONTENT.test(path) && !path.startsWith('/v2/library/probe/')
}
