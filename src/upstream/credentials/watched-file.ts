import { readFile, stat } from 'node:fs/promises'

import type { Clock } from '../clock.ts'
import type { Problems } from './problems.ts'

/** How often a file is looked at, at most, and only while it is used. */
export const POLL_MS = 1_000
/** A Kubernetes Secret has at most as much. */
const MAX_BYTES = 1024 * 1024

export interface WatchOptions<T> {
  readonly path: string
  /** @throws {Error} that names the file, and quotes nothing of it */
  readonly parse: (text: string, path: string) => T
  readonly clock: Clock
  readonly problems: Problems
  readonly pollMs?: number
}

/**
 * A small file, read again when what its name leads to changes: Kubernetes replaces mounted secrets
 * by turning a symbolic link. A change that cannot be read leaves in use what was there before.
 */
export class WatchedFile<T> {
  readonly #options: WatchOptions<T>
  #version: string | undefined
  #current: { readonly value: T } | { readonly error: unknown } = { error: undefined }
  #checkedAt = Number.NEGATIVE_INFINITY
  #checking: Promise<void> | undefined

  constructor(options: WatchOptions<T>) {
    this.#options = options
  }

  /** @throws {Error} while there is nothing usable; a later call looks again */
  async read(): Promise<T> {
    const { clock, pollMs = POLL_MS } = this.#options
    if (clock.elapsed() - this.#checkedAt >= pollMs) {
      this.#checking ??= this.#check().finally(() => {
        this.#checking = undefined
      })
    }
    await this.#checking
    if ('error' in this.#current) throw this.#current.error
    return this.#current.value
  }

  /** As last read; `undefined` while there is nothing usable. */
  get current(): T | undefined {
    return 'error' in this.#current ? undefined : this.#current.value
  }

  /** The next read looks at the file, however recently that was done. */
  recheck(): void {
    this.#checkedAt = Number.NEGATIVE_INFINITY
  }

  async #check(): Promise<void> {
    const { path, parse, clock, problems } = this.#options
    this.#checkedAt = clock.elapsed()
    try {
      const version = await versionOf(path)
      if (version === this.#version) return
      this.#version = version
      this.#current = { value: parse(await readFile(path, 'utf8'), path) }
      problems.solved(path)
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    const { path, problems } = this.#options
    const told = isSystemError(error) ? unreadable(path, error) : error
    // Whoever takes a credential away does not want it to be used on.
    if (isMissing(error)) this.#version = undefined
    if (isMissing(error) || 'error' in this.#current) {
      this.#current = { error: told }
      return
    }
    problems.report(path, `${messageOf(told)}; what it held before stays in use`)
  }
}

/** @throws {Error} for what is not a small file: reading a pipe would not end */
async function versionOf(path: string): Promise<string> {
  const stats = await stat(path, { bigint: true }).catch(async (error: unknown) => {
    // The link may have been turned, and its old target removed, between two steps of one look-up.
    if (isMissing(error)) return await stat(path, { bigint: true })
    throw error
  })
  if (!stats.isFile()) throw new Error(`${path} is not a file`)
  if (stats.size > MAX_BYTES) throw new Error(`${path} is larger than ${MAX_BYTES} bytes`)
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
}

/** `cannot read FILE: no such file (ENOENT)`. */
export function unreadable(path: string, error: NodeJS.ErrnoException): Error {
  const { code = 'unknown error' } = error
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'no such file',
    EACCES: 'permission denied',
  }
  const reason = known[code] === undefined ? code : `${known[code]} (${code})`
  return new Error(`cannot read ${path}: ${reason}`, { cause: error })
}

export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string'
}

export function isMissing(error: unknown): boolean {
  return isSystemError(error) && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
