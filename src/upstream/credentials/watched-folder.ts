import { readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { WatchOptions } from './watched-file.ts'
import { isMissing, isSystemError, POLL_MS, unreadable, WatchedFile } from './watched-file.ts'

/** A site with more secrets than that has mounted something else. */
const MAX_FILES = 1_000

/**
 * A file, or a folder of files: those in it and in its folders, one level down. Each is watched, and
 * one that cannot be read does not hide the others.
 */
export class WatchedFolder<T> {
  readonly #options: WatchOptions<T>
  readonly #files = new Map<string, WatchedFile<T>>()
  #checkedAt = Number.NEGATIVE_INFINITY
  #reading: Promise<readonly T[]> | undefined
  #values: readonly T[] | undefined

  constructor(options: WatchOptions<T>) {
    this.#options = options
  }

  /** @throws {Error} when there is nothing at the path, or the one file there is unusable */
  async read(): Promise<readonly T[]> {
    const { clock } = this.#options
    const due = this.#values === undefined || clock.elapsed() - this.#checkedAt >= POLL_MS
    if (due) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined
      })
    }
    return (await this.#reading) ?? this.#values ?? []
  }

  /** The next read looks at the files, however recently that was done. */
  recheck(): void {
    this.#checkedAt = Number.NEGATIVE_INFINITY
  }

  async #read(): Promise<readonly T[]> {
    const { path, clock, problems } = this.#options
    this.#checkedAt = clock.elapsed()
    try {
      const isFolder = (await stat(path)).isDirectory()
      const files = isFolder ? await this.#list() : [path]
      for (const file of this.#files.keys()) {
        if (files.includes(file)) continue
        this.#files.delete(file)
        problems.solved(file)
      }
      this.#values = isFolder ? await this.#readEach(files) : [await this.#fileAt(path).read()]
      return this.#values
    } catch (error) {
      this.#values = undefined
      throw isSystemError(error) ? unreadable(path, error) : error
    }
  }

  async #readEach(files: readonly string[]): Promise<readonly T[]> {
    const values: T[] = []
    for (const file of files) {
      try {
        values.push(await this.#fileAt(file).read())
      } catch (error) {
        this.#options.problems.report(file, error)
      }
    }
    return values
  }

  #fileAt(path: string): WatchedFile<T> {
    let file = this.#files.get(path)
    if (file === undefined) {
      file = new WatchedFile({ ...this.#options, path, pollMs: 0 })
      this.#files.set(path, file)
    }
    return file
  }

  async #list(): Promise<readonly string[]> {
    const { path, problems } = this.#options
    const names = new Map<string, string>()
    await collect(path, names, true)
    const files = [...names.values()]
    if (files.length <= MAX_FILES) return files
    problems.report(path, `${path} holds more than ${MAX_FILES} files; only so many are read`)
    return files.slice(0, MAX_FILES)
  }
}

/**
 * Kubernetes keeps a volume's files in `..<time>`, to which `..data` leads, to which the names lead
 * that are meant: names that begin with two dots are left out, and what two names lead to counts once.
 */
async function collect(folder: string, files: Map<string, string>, deeper: boolean): Promise<void> {
  const names = await readdir(folder)
  for (const name of names.filter((one) => !one.startsWith('..')).sort()) {
    const path = join(folder, name)
    try {
      const stats = await stat(path)
      if (stats.isDirectory() && deeper) await collect(path, files, false)
      if (!stats.isFile()) continue
      const target = await realpath(path)
      if (!files.has(target)) files.set(target, path)
    } catch (error) {
      // Removed while the folder was listed.
      if (!isMissing(error)) throw error
    }
  }
}
