import { readFile, stat } from 'node:fs/promises'

/** A small file, read again when its size or times change: Kubernetes replaces mounted secrets. */
export class WatchedFile<T> {
  readonly #path: string
  readonly #parse: (text: string) => T
  #loaded: { readonly version: string; readonly value: T } | undefined

  constructor(path: string, parse: (text: string) => T) {
    this.#path = path
    this.#parse = parse
  }

  /** @throws what the file system or `parse` says; the next call tries again */
  async read(): Promise<T> {
    const { mtimeNs, ctimeNs, size, ino } = await stat(this.#path, { bigint: true })
    const version = [mtimeNs, ctimeNs, size, ino].join(' ')
    if (this.#loaded?.version !== version) {
      this.#loaded = { version, value: this.#parse(await readFile(this.#path, 'utf8')) }
    }
    return this.#loaded.value
  }
}
