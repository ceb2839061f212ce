import { createHmac, randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'

import { compare } from 'bcryptjs'
import { LRUCache } from 'lru-cache'

/** Passwords that were right. They stay so until their hash changes, which is a part of the key. */
const MAX_REMEMBERED = 10_000
/** A file is looked at no more often than this. */
const LOOK_MS = 1000
/** What bcrypt is made to work on where a file has no user at all. */
const NOBODY = '$2b$10$U25thTAvZU0XtK/ZLGl3eObn/4b4MZVBQ7qCzWboZRrHwNEmIKGOC'

export interface HtpasswdOptions {
  readonly file: string
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
  /** Told once when a changed file cannot be used; the users of before stay. */
  readonly onError: (error: unknown) => void
}

/** Users and bcrypt hashes of an Apache password file, which is read again when it changes. */
export class Htpasswd {
  readonly #options: HtpasswdOptions
  readonly #key = randomBytes(32)
  readonly #right = new LRUCache<string, true>({ max: MAX_REMEMBERED })
  #hashes: ReadonlyMap<string, string> = new Map()
  #stamp = ''
  #lookedAt = Number.NEGATIVE_INFINITY
  #problem: string | undefined

  private constructor(options: HtpasswdOptions) {
    this.#options = options
  }

  /** @throws {Error} when it cannot be read, or holds something other than bcrypt */
  static async open(options: HtpasswdOptions): Promise<Htpasswd> {
    const htpasswd = new Htpasswd(options)
    await htpasswd.#read()
    return htpasswd
  }

  /** Whether this very password was found to be right; costs no bcrypt. */
  async remembers(username: string, password: string): Promise<boolean> {
    await this.#refresh()
    return this.#right.has(this.#keyOf(username, password))
  }

  async verify(username: string, password: string): Promise<boolean> {
    await this.#refresh()
    const hash = this.#hashes.get(username)
    const key = this.#keyOf(username, password)
    const isRight = await compare(password, hash ?? this.#decoy(username))
    if (!isRight || hash === undefined) return false
    this.#right.set(key, true)
    return true
  }

  /** For a user that does not exist: somebody's hash, always the same one, so that it takes as long. */
  #decoy(username: string): string {
    const hashes = [...this.#hashes.values()]
    const number = createHmac('sha256', this.#key).update(username).digest().readUInt32BE(0)
    return hashes[number % Math.max(1, hashes.length)] ?? NOBODY
  }

  #keyOf(username: string, password: string): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([username, password, this.#hashes.get(username)]))
      .digest('base64url')
  }

  async #refresh(): Promise<void> {
    const { monotonic, onError } = this.#options
    if (monotonic() - this.#lookedAt < LOOK_MS) return
    try {
      await this.#read()
      this.#problem = undefined
    } catch (error) {
      const problem = String(error)
      if (problem !== this.#problem) onError(error)
      this.#problem = problem
    }
  }

  async #read(): Promise<void> {
    const { file, monotonic } = this.#options
    this.#lookedAt = monotonic()
    const { ino, mtimeMs, size } = await stat(file).catch(unreadable(file))
    const stamp = `${ino} ${mtimeMs} ${size}`
    if (stamp === this.#stamp) return
    this.#hashes = parseHtpasswd(await readFile(file, 'utf8').catch(unreadable(file)), file)
    this.#stamp = stamp
  }
}

function unreadable(file: string): (cause: NodeJS.ErrnoException) => never {
  return (cause) => {
    throw new Error(`${file} cannot be read (${cause.code ?? cause.message})`, { cause })
  }
}

/** @throws {Error} naming the line */
export function parseHtpasswd(text: string, file: string): ReadonlyMap<string, string> {
  const hashes = new Map<string, string>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const hash = line.slice(colon + 1).trim()
    if (colon < 1 || !/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(hash)) {
      throw new Error(`${file}:${index + 1}: expected user:bcrypt-hash (htpasswd -B makes one)`)
    }
    hashes.set(line.slice(0, colon), hash)
  }
  return hashes
}
