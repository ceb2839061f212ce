import { setTimeout as sleep } from 'node:timers/promises'

import type { Digest } from '../../src/oci/digest.ts'
import { type Descriptors, descriptorsOf, residentBytes } from '../load/process.ts'
import { Barrier } from '../support/barrier.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { answer, corrupt, cut, drip, type Fault, hangUp, resize, stall } from '../support/faults.ts'
import { buildImage, type Image } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { SoakClient, type Tally } from './client.ts'
import { damagedFiles, partsIn } from './disk.ts'
import { Random } from './random.ts'

const MIB = 1024 * 1024
const IMAGES = 24
const CLIENTS = 12
const LINE_MS = 10_000
const LOOK_MS = 250
/** Time to forget what clients and registries left behind; connections are kept for 60 s. */
const GRACE_MS = 90_000
/** A file that is being removed, a connection to the registry that is kept for its next use. */
const SPARE_DESCRIPTORS = 8
/** What a process that has worked keeps for the next time, besides the chunk cache. */
const MAX_RESIDENT_BYTES = 400 * MIB

export interface SoakOptions {
  readonly seconds: number
  readonly seed: number
  readonly say: (line: string) => void
}

export class Soak {
  readonly #options: SoakOptions
  readonly #random: Random
  readonly #registry = new FaultRegistry()
  readonly #images: readonly Image[]
  readonly #violations: string[] = []
  readonly #stalls = new Set<Barrier>()
  #faults = 0

  constructor(options: SoakOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#images = Array.from({ length: IMAGES }, (_, i) =>
      buildImage({
        seed: `soak-${options.seed}-${i}`,
        layers: [1 + this.#random.below(3 * MIB), 1 + this.#random.below(64 * 1024)],
      }),
    )
  }

  /** @returns one line for each promise that was broken */
  async run(): Promise<readonly string[]> {
    await using registry = await this.#registry.start()
    for (const [i, image] of this.#images.entries()) registry.add('library/app', image, `v${i}`)
    await using larder = await startLarder({
      upstreams: [
        {
          name: 'docker.io',
          url: registry.origin,
          access: 'public',
          default: true,
          limits: { headersTimeout: '2s', idleTimeout: '2s' },
        },
      ],
      storage: { maxSize: '24MiB', minFree: '0%' },
      memory: { chunkCache: '16MiB' },
      log: { level: 'info' },
    })
    const before = descriptorsOf(larder.pid)
    const tally = await this.#work(larder, performance.now() + this.#options.seconds * 1000)
    registry.clearScripts()
    await this.#settle(larder, before, tally)
    return this.#violations
  }

  async #work(larder: RunningLarder, endsAt: number): Promise<Tally> {
    const tally: Tally = { pulls: 0, whole: 0, cut: 0, refused: 0, left: 0, wrong: [] }
    const isOver = () => performance.now() >= endsAt
    const blobs = new Map<Digest, Buffer>(this.#images.flatMap(({ blobs }) => [...blobs]))
    const clients = Array.from({ length: CLIENTS }, () =>
      new SoakClient({
        larder,
        blobs,
        images: this.#images,
        random: new Random(this.#random.below(2 ** 31)),
        tally,
      }).work(isOver),
    )
    const chaos = this.#misbehave(larder, isOver)
    const lines = this.#report(larder, tally, isOver)
    await Promise.all([...clients, chaos, lines])
    this.#violations.push(...tally.wrong)
    return tally
  }

  async #misbehave(larder: RunningLarder, isOver: () => boolean): Promise<void> {
    const matcher = { method: 'GET', path: /\/(?:blobs|manifests)\// }
    while (!isOver()) {
      this.#registry.clearScripts()
      for (let i = this.#random.below(4); i > 0; i--) {
        this.#registry.script(matcher, this.#fault(), { times: 1 + this.#random.below(3) })
        this.#faults++
      }
      if (this.#random.below(20) === 0) process.kill(larder.pid, 'SIGHUP')
      await sleep(LOOK_MS)
      for (const barrier of this.#stalls) if (this.#random.below(4) === 0) this.#release(barrier)
    }
    for (const barrier of this.#stalls) this.#release(barrier)
  }

  #release(barrier: Barrier): void {
    barrier.release()
    this.#stalls.delete(barrier)
  }

  #fault(): Fault {
    const random = this.#random
    const at = random.below(2 * MIB)
    switch (random.below(9)) {
      case 0:
        return cut(at, 'rst')
      case 1:
        return cut(at, 'fin')
      case 2:
        return hangUp('rst')
      case 3:
        return answer(500)
      case 4:
        return answer(429, { 'retry-after': '1' })
      case 5:
        return corrupt(random.below(512))
      case 6:
        return resize(random.pick([-7, 7]))
      case 7:
        return drip(4 * 1024)
      default: {
        const barrier = new Barrier()
        this.#stalls.add(barrier)
        return stall(at, barrier)
      }
    }
  }

  async #report(larder: RunningLarder, tally: Tally, isOver: () => boolean): Promise<void> {
    let nextAt = performance.now() + LINE_MS
    while (!isOver()) {
      await sleep(LOOK_MS)
      if (performance.now() < nextAt) continue
      nextAt += LINE_MS
      await this.#say(larder, tally)
    }
  }

  async #say(larder: RunningLarder, tally: Tally): Promise<void> {
    const { pulls, whole, cut: cuts, refused, left, wrong } = tally
    const { all, sockets } = descriptorsOf(larder.pid)
    const resident = Math.round(residentBytes(larder.pid) / MIB)
    const parts = (await partsIn(larder.dataDir)).length
    this.#options.say(
      `pulls ${pulls} whole ${whole} cut ${cuts} refused ${refused} left ${left} ` +
        `wrong ${wrong.length} faults ${this.#faults} | ` +
        `rss ${resident} MiB descriptors ${all} sockets ${sockets} parts ${parts}`,
    )
  }

  /** What was used for the work is given back, and what is kept is right. */
  async #settle(larder: RunningLarder, before: Descriptors, tally: Tally): Promise<void> {
    // One good pull of everything leaves no part behind that a fault has cut off.
    const { blobs } = this.#contents()
    for (const digest of blobs) await this.#mend(larder, digest)
    const endsAt = performance.now() + GRACE_MS
    let leaks = await this.#leaks(larder, before)
    while (leaks.length > 0 && performance.now() < endsAt) {
      await sleep(LOOK_MS)
      leaks = await this.#leaks(larder, before)
    }
    this.#violations.push(...leaks)
    for (const name of await damagedFiles(larder.dataDir)) {
      this.#violations.push(`promise 2: ${name} does not hash to its name`)
    }
    const errors = larder.logs().filter(({ msg }) => msg === 'unexpected error')
    for (const { stack } of errors.slice(0, 3)) this.#violations.push(`a bug: ${String(stack)}`)
    await this.#say(larder, tally)
  }

  async #mend(larder: RunningLarder, digest: Digest): Promise<void> {
    const path = `/v2/library/app/blobs/${digest}`
    // A circuit that the faults have opened stays so for a while.
    for (let attempt = 0; attempt < 40; attempt++) {
      const response = await fetch(`${larder.url}${path}`, { headers: { connection: 'close' } })
      await response.arrayBuffer().catch(() => undefined)
      if (response.ok) return
      await sleep(LOOK_MS)
    }
    this.#violations.push(`promise 5: ${digest} could not be pulled when all was well again`)
  }

  #contents(): { readonly blobs: ReadonlySet<Digest> } {
    return { blobs: new Set(this.#images.flatMap(({ blobs }) => [...blobs.keys()])) }
  }

  async #leaks(larder: RunningLarder, before: Descriptors): Promise<string[]> {
    const now = descriptorsOf(larder.pid)
    const parts = await partsIn(larder.dataDir)
    const resident = residentBytes(larder.pid)
    const leaks: string[] = []
    if (now.all > before.all + SPARE_DESCRIPTORS) {
      leaks.push(`promise 10: ${now.all} descriptors are open, ${before.all} were at the start`)
    }
    if (now.sockets > before.sockets + SPARE_DESCRIPTORS) {
      leaks.push(`promise 10: ${now.sockets} sockets are open, ${before.sockets} were at the start`)
    }
    if (parts.length > 0) leaks.push(`promise 4: left in ingest: ${parts.join(', ')}`)
    if (resident > MAX_RESIDENT_BYTES) {
      leaks.push(`promise 10: ${Math.round(resident / MIB)} MiB are resident`)
    }
    return leaks
  }
}
