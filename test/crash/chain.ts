import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { stringify } from 'yaml'

import { FAILPOINTS, type Failpoint } from '../../src/store/failpoints.ts'
import { Random } from '../soak/random.ts'
import { send } from '../support/http-client.ts'
import { misnamed, namesIn, readDatabase, readFiles } from './disk.ts'
import { Load } from './load.ts'
import { Victim } from './process.ts'
import { type ListedPin, Promises } from './promises.ts'
import { UPSTREAM, World } from './world.ts'

const MIB = 1024 * 1024
const CAP_BYTES = 4 * MIB
/** SQLite begins its WAL anew after a thousand pages, and finishes the transaction before. */
const MAX_WAL_BYTES = 6 * MIB
const MAX_DATABASE_BYTES = 2 * MIB
/** Of everything that is put aside, the share that a collection leaves. */
const QUARANTINE_BYTES = CAP_BYTES * 0.05
/** Steps of a load that has not come to its failpoint yet. */
const MAX_STEPS = 12
/** Points that many things lead to are also hit late. */
const MAX_PASS = 6
const MAX_LIFE_MS = 300

/** How a round ends: at a step of the store, at any moment under load, or even before it is ready. */
type End = Failpoint | 'random' | 'starting'

export interface ChainOptions {
  readonly rounds: number
  readonly seed: number
  /** For data, configuration and compiled code. */
  readonly path: string
  /** Told of what must not be, with the number of the round. */
  readonly broken: (round: number, what: string) => void
}

/** What the rounds of a chain have come to. */
export interface ChainResult {
  /** How often it ended at each failpoint, counted from 0. */
  readonly hits: Map<End, number>
  /** Rounds that did not come to their failpoint, and were ended from outside. */
  missed: number
  readonly readyMs: number[]
  /** The most that was left over at any time. */
  readonly most: { parts: number; quarantined: number; walBytes: number; databaseBytes: number }
}

/** One data directory through many deaths. The same seed gives the same rounds, but for their timing. */
export class Chain {
  readonly result: ChainResult = {
    hits: new Map(),
    missed: 0,
    readyMs: [],
    most: { parts: 0, quarantined: 0, walBytes: 0, databaseBytes: 0 },
  }
  readonly #options: ChainOptions
  readonly #random: Random
  readonly #world: World
  readonly #promises: Promises
  readonly #dataDir: string
  readonly #configFile: string
  /** What the last process was writing when it died. */
  #halves: ReadonlySet<string> = new Set()
  #round = 0

  constructor(options: ChainOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#world = new World(options.seed, this.#random)
    this.#promises = new Promises(this.#world)
    this.#dataDir = join(options.path, 'data')
    this.#configFile = join(options.path, 'larder.yaml')
  }

  async run(): Promise<ChainResult> {
    await using _registry = await this.#world.registry.start()
    await mkdir(this.#dataDir, { recursive: true })
    await writeFile(this.#configFile, stringify(this.#config()))
    const ends = this.#ends()
    for (this.#round = 1; this.#round <= this.#options.rounds; this.#round++) {
      await this.#attempt(() => this.#play(ends[(this.#round - 1) % ends.length] ?? 'random'))
    }
    await this.#attempt(() => this.#finish())
    return this.result
  }

  /** Each failpoint as often as the next, in another order for each seed, and others in between. */
  #ends(): readonly End[] {
    const all: End[] = [...FAILPOINTS, 'random', 'random', 'random', 'starting']
    const order = all.map((end) => [this.#random.next(), end] as const)
    return order.sort(([a], [b]) => a - b).map(([, end]) => end)
  }

  async #play(end: End): Promise<void> {
    await using victim = this.#start()
    if (end === 'starting') await this.#killEarly(victim)
    else {
      const load = await this.#welcome(victim, end)
      await this.#inspectPinned(load)
      await (end === 'random' ? this.#killSometime(victim, load) : this.#killAt(end, victim, load))
    }
    await this.#inspectDead()
  }

  #start(): Victim {
    const cacheDir = join(this.#options.path, 'compiled')
    return new Victim({ configFile: this.#configFile, cacheDir })
  }

  async #killEarly(victim: Victim): Promise<void> {
    const readyMs = this.result.readyMs.at(-1) ?? MAX_LIFE_MS
    await victim.endsWithin(this.#random.below(readyMs))
    await this.#end(victim, 'starting')
  }

  async #killSometime(victim: Victim, load: Load): Promise<void> {
    const life = victim.endsWithin(this.#random.below(MAX_LIFE_MS)).then(() => victim.kill())
    while (!victim.isDead) await load.step()
    await life
    await this.#end(victim, 'random')
  }

  async #killAt(point: Failpoint, victim: Victim, load: Load): Promise<void> {
    const pass = 1 + this.#random.below(MAX_PASS)
    victim.arm({ point, pass })
    for (let step = 0; step < MAX_STEPS && !victim.isDead; step++) {
      // Few things come by some points more than once.
      if (step === MAX_STEPS / 2) victim.arm({ point, pass: 1 })
      await load.step()
    }
    await this.#end(victim, point)
  }

  async #end(victim: Victim, end: End): Promise<void> {
    const wasAlive = !victim.isDead
    await victim.kill()
    const point = await victim.died
    const isMissed = end !== 'random' && end !== 'starting' && point === ''
    if (isMissed) this.result.missed++
    else this.result.hits.set(end, (this.result.hits.get(end) ?? 0) + 1)
    if (end !== 'random' && end !== 'starting' && !wasAlive && point !== end) {
      this.#broken(`promise 10: it ended by itself\n${victim.said}`)
    }
    for (const line of victim.lines) {
      if (line['level'] === 'error' || 'raw' in line)
        this.#broken(`it has logged ${JSON.stringify(line)}`)
    }
  }

  /** What has to be when it is up again, before anybody does anything. */
  async #welcome(victim: Victim, toward: End): Promise<Load> {
    this.result.readyMs.push(await victim.ready)
    const load = this.#load(victim, toward)
    await this.#inspectLeftovers()
    await this.#inspectPins(victim)
    if (this.#promises.injured.size > 0) await load.verify()
    return load
  }

  /** Whatever is pinned and was whole can be had without its registry. */
  async #inspectPinned(load: Load): Promise<void> {
    this.#world.switchOff()
    for (const digest of this.#promises.whole) await load.pullWhole(digest)
    this.#world.behave()
  }

  #load(victim: Victim, toward: End): Load {
    const broken = (what: string) => this.#broken(what)
    const random = new Random(this.#random.below(2 ** 31))
    const options = { world: this.#world, promises: this.#promises, victim, random, broken }
    const point = FAILPOINTS.find((one) => one === toward)
    return new Load({ ...options, dataDir: this.#dataDir }, point)
  }

  /** Nothing has touched it since it died. */
  async #inspectDead(): Promise<void> {
    await this.#inspectBlobs()
    this.#halves = new Set(await this.#temporaries())
    if (!(await namesIn(this.#dataDir)).includes('larder.db')) return
    const { integrity, blobs } = await readDatabase(this.#dataDir)
    if (integrity !== 'ok') this.#broken(`the database: ${integrity}`)
    const files = new Set((await this.#files('blobs')).keys().map((path) => basename(path)))
    for (const digest of blobs) {
      if (this.#promises.injured.has(digest) || files.has(digest.slice('sha256:'.length))) continue
      this.#broken(`promise 4: ${digest} has a row and no file`)
    }
  }

  async #inspectBlobs(): Promise<void> {
    const injured = new Set([...this.#promises.injured].map((one) => one.slice('sha256:'.length)))
    for (const path of misnamed(await this.#files('blobs'))) {
      if (injured.has(basename(path))) continue
      this.#broken(`promise 2: ${path} does not hash to its name`)
    }
  }

  async #inspectLeftovers(): Promise<void> {
    await this.#inspectBlobs()
    const { most } = this.result
    const ingest = await this.#files('ingest')
    for (const [path, bytes] of ingest) {
      const [, hex = ''] = /([0-9a-f]{64})\.part$/.exec(path) ?? []
      const whole = this.#world.contents.get(`sha256:${hex}`)
      if (whole !== undefined && !whole.subarray(0, bytes.length).equals(bytes)) {
        this.#broken(`${path} is no beginning of its content`)
      }
    }
    for (const path of await this.#temporaries()) {
      if (this.#halves.has(path)) this.#broken(`promise 4: ${path} is left over`)
    }
    const bytes = [...(await this.#files('blobs')).values(), ...ingest.values()]
    const used = bytes.reduce((sum, { length }) => sum + length, 0)
    if (used > CAP_BYTES) this.#broken(`promise 10: ${used} bytes are on disk`)
    for (const name of await namesIn(this.#dataDir)) {
      if (name.includes('corrupt')) this.#broken(`promise 4: ${name} was moved aside`)
    }
    most.parts = Math.max(most.parts, ingest.size)
    most.quarantined = Math.max(most.quarantined, (await this.#files('quarantine')).size)
    await this.#inspectDatabaseSize()
  }

  /** Files that are never gone on with. */
  async #temporaries(): Promise<string[]> {
    const paths = ['ingest', 'pins'].map(async (folder) => [...(await this.#files(folder)).keys()])
    const isTemporary = (path: string) => /^ingest\/.*(?<!\.part)$|^pins\/\.new\//.test(path)
    return (await Promise.all(paths)).flat().filter(isTemporary)
  }

  async #inspectDatabaseSize(): Promise<void> {
    const { most } = this.result
    const files = await readFiles(this.#dataDir, '.')
    const wal = files.get('larder.db-wal')?.length ?? 0
    const database = files.get('larder.db')?.length ?? 0
    most.walBytes = Math.max(most.walBytes, wal)
    most.databaseBytes = Math.max(most.databaseBytes, database)
    if (wal > MAX_WAL_BYTES) this.#broken(`promise 4: the WAL has ${wal} bytes`)
    if (database > MAX_DATABASE_BYTES) this.#broken(`promise 4: the database has ${database} bytes`)
  }

  async #inspectPins({ adminUrl }: Victim): Promise<void> {
    const { body } = await send(adminUrl, '/api/v1/pins')
    const { pins } = JSON.parse(body.toString()) as { pins: ListedPin[] }
    for (const wrong of this.#promises.compare(pins)) this.#broken(`promise 4: ${wrong}`)
  }

  /** After all that, everything can be had, and nothing stays that a good pull or a collection ends. */
  async #finish(): Promise<void> {
    await using victim = this.#start()
    const load = await this.#welcome(victim, 'random')
    for (const { manifest } of this.#world.images) {
      await load.pullImage(manifest.digest)
      await load.settle()
      // Before what has come has to make room for the next.
      await load.collect()
    }
    const parts = [...(await this.#files('ingest')).keys()]
    if (parts.length > 0) this.#broken(`promise 4: left in the end: ${parts.join(', ')}`)
    const aside = [...(await this.#files('quarantine')).values()]
    const bytes = aside.reduce((sum, { length }) => sum + length, 0)
    if (bytes > QUARANTINE_BYTES) this.#broken(`promise 4: ${bytes} bytes are put aside in the end`)
    await victim.kill()
    await this.#inspectDead()
  }

  #files(folder: string) {
    return readFiles(this.#dataDir, folder)
  }

  #broken(what: string): void {
    this.#options.broken(this.#round, what)
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#broken(error instanceof Error ? String(error.stack) : String(error))
    }
  }

  #config(): object {
    return {
      version: 1,
      server: { listen: '127.0.0.1:0', adminListen: '127.0.0.1:0' },
      storage: { path: this.#dataDir, maxSize: `${CAP_BYTES / MIB}MiB`, minFree: '0%' },
      memory: { chunkCache: '4MiB' },
      log: { level: 'info', format: 'json' },
      upstreams: [
        {
          name: UPSTREAM,
          url: this.#world.registry.origin,
          access: 'public',
          default: true,
          // Each pull of a tag asks where it points now.
          tags: [{ match: '*', pullPolicy: 'Always' }],
        },
      ],
    }
  }
}
