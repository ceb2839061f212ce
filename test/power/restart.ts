import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import Database from 'better-sqlite3'

import { type Digest, digestOf, encodedOf, isDigest } from '../../src/oci/digest.ts'
import { parseRepository, type Tag } from '../../src/oci/reference.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import type { SqliteCatalog } from '../../src/store/catalog.ts'
import { acquireLock } from '../../src/store/lock.ts'
import { nameOf } from '../../src/store/pin.ts'
import { Pins } from '../../src/store/pins.ts'
import { openCatalog } from '../../src/store/rebuild.ts'
import { Unlinking } from '../../src/store/unlinking.ts'
import type { Meaning } from './marks.ts'
import type { Promised, Promises } from './promises.ts'

/** What may lie in a data directory once it is in use again. */
const TOP = /^(blobs|ingest|pins|quarantine|lock|larder\.db(-wal|-shm)?)$/
const PART = /^[0-9a-f]{64}\.part$/

/** Starts the store on what a loss of power has left, as `serve` does, and looks at everything. */
export class Restart {
  readonly #path: string
  readonly #promises: Promises
  readonly #violations: string[] = []

  constructor(path: string, promises: Promises) {
    this.#path = path
    this.#promises = promises
  }

  /** @returns one line for each promise that is broken */
  async check(): Promise<readonly string[]> {
    try {
      const lock = acquireLock(this.#path)
      try {
        await this.#open()
      } finally {
        lock.release()
      }
      this.#checkDatabase()
      this.#checkLeftovers()
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.#broken(`it does not start: ${text}`)
    }
    return this.#violations
  }

  async #open(): Promise<void> {
    const path = this.#path
    const warn = (fields: unknown, message?: string) =>
      this.#broken(`it warns: ${message} ${JSON.stringify(fields)}`)
    const logger = { info() {}, warn } as never
    const blobs = await FileBlobs.open({ path })
    const { catalog, rebuilt } = openCatalog({ path, blobs, logger })
    try {
      const unlinking = new Unlinking()
      const pins = await Pins.open({ path, catalog, blobs, unlinking, logger, now: Date.now })
      await Promise.all([rebuilt, pins.settled])
      const whole = this.#hashFiles()
      await this.#checkRows(catalog, whole)
      await this.#checkTags(catalog)
      this.#checkPins(pins, whole)
      await pins.close()
    } finally {
      await catalog.close()
    }
  }

  /** @returns those under their final names */
  #hashFiles(): ReadonlySet<Digest> {
    const found = new Set<Digest>()
    const root = join(this.#path, 'blobs', 'sha256')
    for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      const digest = `sha256:${basename(name)}`
      if (!isDigest(digest)) continue
      found.add(digest)
      if (this.#promises.damaged.has(digest)) continue
      const bytes = readFileSync(join(root, name))
      if (digestOf(bytes) !== digest) this.#broken(`${name} does not hash to its name`)
    }
    return found
  }

  async #checkRows(catalog: SqliteCatalog, files: ReadonlySet<Digest>): Promise<void> {
    const rows = new Set(await catalog.pageBlobs('', 10_000))
    for (const row of rows) if (!files.has(row)) this.#broken(`${row} has a row and no file`)
    for (const file of files) if (!rows.has(file)) this.#broken(`${file} has a file and no row`)
    for (const blob of this.#promises.blobs) {
      if (!files.has(blob)) this.#broken(`${blob} was acknowledged and is lost`)
    }
  }

  async #checkTags(catalog: SqliteCatalog): Promise<void> {
    for (const [name, { may }] of this.#promises.tags) {
      const [, upstream = '', repository = '', tag = ''] = /^([^/]+)\/(.+):(.+)$/.exec(name) ?? []
      const place = { upstream, repository: parseRepository(repository) }
      const digest = (await catalog.getTag(place, tag as Tag))?.digest ?? null
      this.#expect(`the tag ${name}`, may, digest)
    }
  }

  #checkPins(pins: Pins, files: ReadonlySet<Digest>): void {
    const listed = new Map<string, Meaning>()
    for (const pin of pins.list()) {
      if (pin.kind === 'pattern') listed.set(pin.pattern, 'pattern')
      else listed.set(nameOf(pin, pin.reference), pin.digest)
    }
    for (const name of listed.keys()) {
      if (!this.#promises.pins.has(name)) this.#broken(`nobody has pinned ${name}`)
    }
    for (const [name, promised] of this.#promises.pins) {
      const meaning = listed.get(name) ?? null
      this.#expect(`the pin ${name}`, promised.may, meaning)
      this.#checkContent(name, promised, files)
      if (meaning === 'pattern') this.#checkMatches(name, pins)
    }
  }

  #checkContent(name: string, { content }: Promised, files: ReadonlySet<Digest>): void {
    for (const digest of content) {
      if (!files.has(digest)) this.#broken(`${digest}, which ${name} keeps, is lost`)
    }
  }

  /** Of a pattern that ends in a star. */
  #checkMatches(pattern: string, pins: Pins): void {
    for (const [name, { may }] of this.#promises.tags) {
      const [digest] = may
      if (!name.startsWith(pattern.slice(0, -1)) || may.size > 1) continue
      const isKept = digest === null || digest === 'pattern' || pins.isProtected(digest as Digest)
      if (!isKept) this.#broken(`${pattern} does not keep ${name}`)
    }
  }

  #checkDatabase(): void {
    const database = new Database(join(this.#path, 'larder.db'))
    try {
      const found = database.pragma('integrity_check', { simple: true })
      if (found !== 'ok') this.#broken(`integrity_check: ${String(found)}`)
    } finally {
      database.close()
    }
  }

  #checkLeftovers(): void {
    const list = (folder: string) => readdirSync(join(this.#path, folder))
    const quarantined = new Set([...this.#promises.everDamaged].map(encodedOf))
    const isLegal: Readonly<Record<string, (name: string) => boolean>> = {
      '': (name) => TOP.test(name),
      ingest: (name) => PART.test(name),
      'pins/.new': () => false,
      quarantine: (name) => quarantined.has(name.replace(/\..*/, '')),
    }
    for (const [folder, isFit] of Object.entries(isLegal)) {
      for (const name of list(folder)) {
        if (!isFit(name)) this.#broken(`${join(folder, name)} is left over`)
      }
    }
  }

  #expect(what: string, may: ReadonlySet<Meaning>, is: Meaning): void {
    if (may.has(is)) return
    const expected = [...may].map((one) => one ?? 'none').join(' or ')
    this.#broken(`${what} is ${is ?? 'none'}, expected ${expected}`)
  }

  #broken(what: string): void {
    this.#violations.push(what)
  }
}
