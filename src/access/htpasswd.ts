import { createHmac, randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'

import { compare } from 'bcryptjs'
import { LRUCache } from 'lru-cache'

/** A password that was right is not put through bcrypt again for this long. */
const REMEMBERED_MS = 5 * 60_000
/** A file is looked at no more often than this. */
const LOOK_MS = 1000
/** What bcrypt is made to work on for a user that does not exist, so that both take as long. */
const NOBODY = '$2b$10$U25thTAvZU0XtK/ZLGl3eObn/4b4MZVBQ7qCzWboZRrHwNEmIKGOC'

/** Users and bcrypt hashes of an Apache password file, which is read again when it changes. */
export class Htpasswd {
  readonly #file: string
  readonly #key = randomBytes(32)
  readonly #right = new LRUCache<string, true>({ max: 10_000, ttl: REMEMBERED_MS })
  #hashes: ReadonlyMap<string, string> = new Map()
  #stamp = ''
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(file: string) {
    this.#file = file
  }

  /** @throws {Error} when it cannot be read, or holds something other than bcrypt */
  static async open(file: string): Promise<Htpasswd> {
    const htpasswd = new Htpasswd(file)
    await htpasswd.#refresh()
    return htpasswd
  }

  async verify(username: string, password: string): Promise<boolean> {
    await this.#refresh()
    const hash = this.#hashes.get(username)
    const key = createHmac('sha256', this.#key)
      .update(JSON.stringify([username, password, hash]))
      .digest('base64url')
    if (this.#right.has(key)) return true
    const isRight = await compare(password, hash ?? NOBODY)
    if (!isRight || hash === undefined) return false
    this.#right.set(key, true)
    return true
  }

  async #refresh(): Promise<void> {
    if (performance.now() - this.#lookedAt < LOOK_MS) return
    this.#lookedAt = performance.now()
    const { ino, mtimeMs, size } = await stat(this.#file)
    const stamp = `${ino} ${mtimeMs} ${size}`
    if (stamp === this.#stamp) return
    this.#hashes = parseHtpasswd(await readFile(this.#file, 'utf8'), this.#file)
    this.#stamp = stamp
  }
}

/** @throws {Error} naming the line */
export function parseHtpasswd(text: string, file: string): ReadonlyMap<string, string> {
  const hashes = new Map<string, string>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const hash = line.slice(colon + 1).trim()
    if (colon < 1 || !/^\$2[aby]\$\d\d\$/.test(hash)) {
      throw new Error(`${file}:${index + 1}: expected user:bcrypt-hash (htpasswd -B makes one)`)
    }
    hashes.set(line.slice(0, colon), hash)
  }
  return hashes
}
