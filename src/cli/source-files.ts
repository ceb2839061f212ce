/** Files, folders and standard input as sources of images. */
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { dirname, extname, join, resolve } from 'node:path'

import { NoTextError, refuseArchive, textOf } from '../airgap/sources/bytes.ts'
import type { Found, Note } from '../airgap/sources/mention.ts'
import { readArgument, type Source } from '../airgap/sources.ts'
import { formatBytes } from './format.ts'
import { noteOf, SourceFolder, whyUnreadable } from './source-folder.ts'

/** More is no list of images and no manifest: one that is parsed takes some 50 times its size. */
const MAX_BYTES = 16 * 1024 * 1024
const MAX_FILES = 10_000
/** Of a file, for a name that may be an image instead: `nginx/nginx:1` beside a file `nginx`. */
const ABSENCE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'])

export interface SourceSurroundings {
  readonly cwd: string
  readonly stdin: AsyncIterable<Uint8Array>
  /** Of one file; default 16 MiB. */
  readonly maxBytes?: number
  /** In one folder; default 10 000. */
  readonly maxFiles?: number
}

/** What an argument turned out to be: a text, an image itself, or nothing, and why. */
export type Opened =
  | { readonly kind: 'source'; readonly source: Source }
  | { readonly kind: 'image'; readonly found: Found }
  | { readonly kind: 'note'; readonly note: Note }

/** Opens what the command line names. What cannot be read becomes a note. */
export class SourceFiles {
  readonly #cwd: string
  readonly #stdin: AsyncIterable<Uint8Array>
  readonly #maxBytes: number
  readonly #maxFiles: number

  constructor({ cwd, stdin, maxBytes, maxFiles }: SourceSurroundings) {
    this.#cwd = cwd
    this.#stdin = stdin
    this.#maxBytes = maxBytes ?? MAX_BYTES
    this.#maxFiles = maxFiles ?? MAX_FILES
  }

  /** One text at a time, when it is asked for. @param names files, folders, images, or `-` */
  async *open(names: readonly string[]): AsyncGenerator<Opened, void, undefined> {
    for (const name of new Set(names)) {
      if (name === '-') yield await this.#readAs('stdin', this.#stdin, {})
      else yield* this.#open(name)
    }
  }

  async *#open(name: string): AsyncGenerator<Opened, void, undefined> {
    const kind = await this.#kindOf(name)
    if (kind === 'folder') yield* this.#openFolder(name)
    else if (kind === 'file') yield await this.#readFile(name, {})
    else {
      const found = kind === 'absent' && !isPath(name) ? readArgument(name) : undefined
      if (found !== undefined) yield { kind: 'image', found }
      else yield { kind: 'note', note: noteOf('error', name, whyNot(kind, name)) }
    }
  }

  /** @returns also why nobody can tell */
  async #kindOf(name: string): Promise<'file' | 'folder' | 'absent' | Error> {
    try {
      return (await stat(resolve(this.#cwd, name))).isDirectory() ? 'folder' : 'file'
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error
      return ABSENCE.has(String(error.code)) ? 'absent' : error
    }
  }

  async *#openFolder(path: string): AsyncGenerator<Opened, void, undefined> {
    const folder = new SourceFolder(path, { cwd: this.#cwd, maxFiles: this.#maxFiles })
    for await (const entry of folder.files()) {
      if (typeof entry === 'string') yield await this.#readFile(entry, { isIncidental: true })
      else yield { kind: 'note', note: entry }
    }
  }

  async #readFile(path: string, more: Pick<Source, 'isIncidental'>): Promise<Opened> {
    const absolute = resolve(this.#cwd, path)
    const dotEnv = await readDotEnv(dirname(absolute), this.#maxBytes)
    const known = dotEnv === undefined ? more : { ...more, dotEnv }
    return await this.#readAs(path, createReadStream(absolute), known)
  }

  async #readAs(
    name: string,
    stream: AsyncIterable<Uint8Array>,
    more: Pick<Source, 'isIncidental' | 'dotEnv'>,
  ): Promise<Opened> {
    try {
      const text = textOf(await this.#drain(stream))
      return { kind: 'source', source: { name, text, ...more } }
    } catch (error) {
      const message = error instanceof NoTextError ? error.message : whyUnreadable(error)
      return { kind: 'note', note: noteOf('error', name, message) }
    }
  }

  /** Also of a pipe, which has no size: `<(helm template …)`. */
  async #drain(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of stream) {
      if (size === 0) refuseArchive(chunk)
      size += chunk.byteLength
      if (size > this.#maxBytes) {
        throw new NoTextError(`is larger than ${formatBytes(this.#maxBytes)}: too large to be read`)
      }
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  }
}

/** It only helps: a variable that it should have set is said to be missing. */
async function readDotEnv(folder: string, maxBytes: number): Promise<string | undefined> {
  const file = join(folder, '.env')
  try {
    const stats = await stat(file)
    return stats.isFile() && stats.size <= maxBytes ? await readFile(file, 'utf8') : undefined
  } catch {
    return undefined
  }
}

/** `images.txt` could be an image, too, but nobody means that. */
function isPath(name: string): boolean {
  return (
    /^[./~\\]|[/\\]$|\\/.test(name) ||
    /^\.(?:ya?ml|json|txt|lock|env|tar|gz|tgz|zst)$/.test(extname(name))
  )
}

function whyNot(why: 'absent' | Error, name: string): string {
  if (why !== 'absent') return whyUnreadable(why)
  const image = ', and not an image such as ghcr.io/acme/app:v1'
  return `no such file${isPath(name) ? '' : image}`
}
