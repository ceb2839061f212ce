import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { extname, join, relative, resolve } from 'node:path'

import type { Level, Note } from '../airgap/sources/mention.ts'

/** What is read in a folder; a file that is named is read whatever its name. */
const EXTENSIONS = new Set(['.yaml', '.yml', '.json', '.txt', '.lock'])
/** But for a chart's `.images.lock.yaml`. */
const HIDDEN = /^\.(?!images)/

export interface FolderOptions {
  readonly cwd: string
  /** How many files are read at most, with all that is in the folders below. */
  readonly maxFiles: number
}

/** The files below a folder that may name images, sorted, or what to say of one that is left out. */
export class SourceFolder {
  readonly #path: string
  readonly #cwd: string
  readonly #maxFiles: number

  constructor(path: string, { cwd, maxFiles }: FolderOptions) {
    this.#path = path
    this.#cwd = cwd
    this.#maxFiles = maxFiles
  }

  async *files(): AsyncGenerator<string | Note, void, undefined> {
    let files = 0
    for await (const entry of this.#walk(this.#path)) {
      if (typeof entry === 'string' && ++files > this.#maxFiles) {
        yield noteOf('error', this.#path, `more than ${this.#maxFiles} files: name fewer`)
        return
      }
      yield entry
    }
    if (files > 0) return
    const kinds = [...EXTENSIONS].join(', ')
    yield noteOf('error', this.#path, `nothing in it could name images: no ${kinds}`)
  }

  async *#walk(path: string): AsyncGenerator<string | Note, void, undefined> {
    const entries = await this.#list(path)
    if (!Array.isArray(entries)) return yield entries
    const isChart = entries.some(({ name }) => name === 'Chart.yaml')
    for (const entry of entries) {
      const inner = join(path, entry.name)
      if (entry.isDirectory() && isChart && entry.name === 'templates') {
        const how = `helm template NAME ${path} | larder images -`
        yield noteOf('warning', inner, `templates are not rendered here: ${how}`)
      } else if (entry.isDirectory()) {
        // Such as .git, and the folders behind a mounted ConfigMap's links.
        if (!entry.name.startsWith('.')) yield* this.#walk(inner)
      } else if (EXTENSIONS.has(extname(entry.name)) && !HIDDEN.test(entry.name)) {
        if (entry.isFile()) yield inner
        else if (entry.isSymbolicLink()) yield await this.#follow(inner)
      }
    }
  }

  async #list(path: string): Promise<Dirent[] | Note> {
    try {
      const entries = await readdir(resolve(this.#cwd, path), { withFileTypes: true })
      return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
    } catch (error) {
      return noteOf('error', path, whyUnreadable(error))
    }
  }

  /** To files below the folder alone, which is how a cluster mounts ConfigMaps. */
  async #follow(path: string): Promise<string | Note> {
    try {
      const target = await realpath(resolve(this.#cwd, path))
      const inside = relative(await realpath(resolve(this.#cwd, this.#path)), target)
      const isInside = inside !== '..' && !inside.startsWith('../')
      if (isInside && (await stat(target)).isFile()) return path
      return noteOf('warning', path, 'a link out of the folder, or to no file: left out')
    } catch (error) {
      return noteOf('error', path, whyUnreadable(error))
    }
  }
}

export function noteOf(level: Level, source: string, message: string): Note {
  return { level, where: { source }, message }
}

/** In an operator's words, for what the file system says. @throws what is not of it */
export function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (typeof code !== 'string') throw error
  if (code === 'ENOENT') return 'no such file'
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read: permission denied'
  if (code === 'ELOOP') return 'a link that leads back to itself'
  return `cannot be read (${code})`
}
