/**
 * One small file for each pinned reference, so that a lost database loses no pin.
 *
 *     <path>/pins/
 *       <upstream>/<repository>/<reference>@<owner>.json
 *       _patterns/<SHA-256 of pattern and owner>.json
 *       .new/<uuid>                  being written; left by a crash, it goes at the next start
 *
 * No two pins have one name, and none leads out of the folder: a repository's components are
 * `[a-z0-9]` at both ends, so none is `..`, and have no `@`, which every file has. A tag has no `@`
 * and no `:`, which every digest has. In upstreams and owners what is not `[A-Za-z0-9._-]` is
 * written as `%XX`, a leading `.` or `_` too; a long owner is `~` and its SHA-256.
 */
import { createHash, randomUUID } from 'node:crypto'
import { type Dirent, readdirSync, readFileSync } from 'node:fs'
import { open, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { setImmediate } from 'node:timers/promises'

import type { Logger } from '../log.ts'
import { codeOf, DataDirectoryError } from './errors.ts'
import { type FailAt, NEVER_FAILS } from './failpoints.ts'
import { makeDirectory, syncDirectory, writeFully } from './files.ts'
import type { Pin } from './pin.ts'
import { formatPin, parsePin } from './pin-document.ts'

export interface PinFilesOptions {
  /** The data directory. The caller holds its lock. */
  readonly path: string
  readonly logger: Pick<Logger, 'warn'>
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly failAt?: FailAt | undefined
}

export interface LoadedPins {
  readonly pins: readonly Pin[]
  /** Where files were that cannot be read, as `pathOf` says it. */
  readonly damaged: readonly string[]
}

const PATTERNS = '_patterns'
const NEW = '.new'
const SUFFIX = '.json'
/** With the longest digest, a name stays below the 255 bytes that file systems allow. */
const MAX_OWNER_BYTES = 80
/** Files read before other work gets its turn. */
const SLICE = 256

export class PinFiles {
  readonly #root: string
  readonly #quarantine: string
  readonly #logger: Pick<Logger, 'warn'>
  readonly #now: () => number
  readonly #failAt: FailAt
  /** Folders whose names are on disk: one that a killed run made may not be. */
  readonly #durable = new Set<string>()

  /** @throws {DataDirectoryError} when the folders cannot be made */
  static async open(options: PinFilesOptions): Promise<PinFiles> {
    const files = new PinFiles(options)
    try {
      await files.#prepare()
    } catch (cause) {
      throw new DataDirectoryError(options.path, cause)
    }
    return files
  }

  private constructor({ path, logger, now, failAt = NEVER_FAILS }: PinFilesOptions) {
    this.#root = join(path, 'pins')
    this.#quarantine = join(path, 'quarantine')
    this.#logger = logger
    this.#now = now
    this.#failAt = failAt
  }

  async #prepare(): Promise<void> {
    for (const name of [PATTERNS, NEW]) await makeDirectory(join(this.#root, name))
    await makeDirectory(this.#quarantine)
    for (const name of await readdir(join(this.#root, NEW))) {
      await rm(join(this.#root, NEW, name), { force: true })
    }
  }

  /** Reads every file. What is damaged goes to the quarantine, each with a line in the log. */
  async load(): Promise<LoadedPins> {
    const pins: Pin[] = []
    const damaged: string[] = []
    let seen = 0
    for (const path of listFiles(this.#root)) {
      const pin = this.#read(path)
      if (pin instanceof Error) {
        damaged.push(path)
        await this.#putAside(path, pin)
      } else if (pin !== undefined) pins.push(pin)
      if (++seen % SLICE === 0) await setImmediate()
    }
    return { pins, damaged }
  }

  /** Where the file of a pin is. */
  pathOf(pin: NamedPin): string {
    return join(this.#root, nameOfFile(pin))
  }

  /** Durable when it resolves: file, name, and folders that had to be made. */
  async write(pin: Pin): Promise<void> {
    const target = this.pathOf(pin)
    const temporary = join(this.#root, NEW, randomUUID())
    try {
      await writeFile(temporary, Buffer.from(formatPin(pin)))
      await this.#makeDurable(dirname(target))
      this.#failAt('pin.beforeRename')
      await rename(temporary, target)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
    this.#failAt('pin.afterRename')
    await syncDirectory(dirname(target))
  }

  /** Gone for good when it resolves. Folders that are empty then go as well. */
  async remove(pins: readonly Pin[]): Promise<void> {
    const paths = pins.map((pin) => this.pathOf(pin))
    for (const path of paths) await rm(path, { force: true })
    const directories = new Set(paths.map((path) => dirname(path)))
    for (const directory of directories) await syncIfThere(directory)
    this.#failAt('unpin.afterUnlink')
    for (const directory of directories) await this.#prune(directory)
  }

  async #makeDurable(directory: string): Promise<void> {
    if (this.#durable.has(directory)) return
    await makeDirectory(directory)
    for (let at = directory; at !== this.#root; at = dirname(at)) await syncDirectory(dirname(at))
    this.#durable.add(directory)
  }

  async #prune(directory: string): Promise<void> {
    if (relative(this.#root, directory) === PATTERNS) return
    try {
      for (let at = directory; at !== this.#root; at = dirname(at)) {
        await rmdir(at)
        this.#durable.delete(at)
      }
    } catch {
      // Not empty, as a rule. An empty folder that stays harms nobody.
    }
  }

  /** `undefined` when it has gone meanwhile; the error when it is no pin. */
  #read(path: string): Pin | Error | undefined {
    try {
      const pin = parsePin(readFileSync(path, 'utf8'))
      return this.pathOf(pin) === path ? pin : new Error('it is not at the place that it names')
    } catch (error) {
      const code = codeOf(error)
      if (code === 'ENOENT') return undefined
      // Out of descriptors or memory says nothing of the file.
      if (code !== undefined && code !== 'EIO' && code !== 'EACCES') throw error
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  async #putAside(path: string, { message: reason }: Error): Promise<void> {
    const name = relative(this.#root, path)
    const kept = join(this.#quarantine, `pin-${hashOf(name).slice(0, 16)}.${this.#now()}`)
    try {
      await rename(path, kept)
      this.#logger.warn({ file: path, kept, reason }, 'a pin file is damaged: put aside')
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error)
      this.#logger.warn({ file: path, reason, problem }, 'a pin file is damaged: not read')
    }
  }
}

function* listFiles(root: string): Generator<string> {
  for (const entry of entriesOf(root)) {
    if (entry.isDirectory() && entry.name !== NEW) yield* filesBelow(join(root, entry.name))
  }
}

/** Synchronous: for twenty thousand small files, five times as quick. */
function* filesBelow(directory: string): Generator<string> {
  for (const entry of entriesOf(directory)) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) yield* filesBelow(path)
    else if (entry.isFile() && entry.name.endsWith(SUFFIX)) yield path
  }
}

function entriesOf(directory: string): Dirent[] {
  return readdirSync(directory, { withFileTypes: true })
}

/** What of a pin its file is named for. */
export type NamedPin =
  | {
      readonly kind: 'tag' | 'digest'
      readonly upstream: string
      readonly repository: string
      readonly reference: string
      readonly owner: string
    }
  | { readonly kind: 'pattern'; readonly pattern: string; readonly owner: string }

function nameOfFile(pin: NamedPin): string {
  if (pin.kind === 'pattern') {
    return join(PATTERNS, `${hashOf(`${pin.owner}\n${pin.pattern}`)}${SUFFIX}`)
  }
  const file = `${pin.reference}@${ownerSegment(pin.owner)}${SUFFIX}`
  return join(segmentOf(pin.upstream), pin.repository, file)
}

function ownerSegment(owner: string): string {
  const segment = segmentOf(owner)
  return segment.length <= MAX_OWNER_BYTES ? segment : `~${hashOf(owner)}`
}

function segmentOf(text: string): string {
  if (/^[A-Za-z0-9-][A-Za-z0-9._-]*$/.test(text)) return text
  const encoded = Array.from(Buffer.from(text), (byte, index) => {
    const character = String.fromCharCode(byte)
    const isPlain = index === 0 ? /[A-Za-z0-9-]/ : /[A-Za-z0-9._-]/
    return isPlain.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`
  })
  return encoded.join('')
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

async function writeFile(path: string, bytes: Buffer): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await writeFully(handle, [bytes], 0, () => {})
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function syncIfThere(directory: string): Promise<void> {
  try {
    await syncDirectory(directory)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}
