import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { type Digest, encodedOf, isDigest } from '../../src/oci/digest.ts'
import { codeOf } from '../../src/store/errors.ts'

interface Seen {
  /** Changes with whatever is done to the file. */
  readonly stamp: string
  readonly isRight: boolean
  readonly size: number
}

/** What a data directory holds, looked at from outside. Each version of a file is hashed once. */
export class Disk {
  readonly #path: string
  #seen = new Map<Digest, Seen>()

  constructor(path: string) {
    this.#path = path
  }

  /** What is under its final name, and whether it hashes to that name. */
  files(): ReadonlyMap<Digest, Seen> {
    const files = new Map<Digest, Seen>()
    const root = join(this.#path, 'blobs', 'sha256')
    for (const prefix of readdirSync(root)) {
      for (const name of readdirSync(join(root, prefix))) {
        const digest = `sha256:${name}`
        const seen = isDigest(digest) && this.#look(digest, join(root, prefix, name))
        if (seen) files.set(digest as Digest, seen)
      }
    }
    this.#seen = files
    return files
  }

  isRight(digest: Digest): boolean {
    const hex = encodedOf(digest)
    const path = join(this.#path, 'blobs', 'sha256', hex.slice(0, 2), hex)
    return this.#look(digest, path)?.isRight === true
  }

  /** Downloads that are not finished: the digests, by size on disk. */
  parts(): ReadonlyMap<Digest, number> {
    const parts = new Map<Digest, number>()
    for (const name of this.ingest()) {
      if (!name.endsWith('.part')) continue
      const size = present(() => statSync(join(this.#path, 'ingest', name)).size)
      if (size !== undefined) parts.set(`sha256:${name.slice(0, -'.part'.length)}` as Digest, size)
    }
    return parts
  }

  ingest(): readonly string[] {
    return readdirSync(join(this.#path, 'ingest'))
  }

  partPath(digest: Digest): string {
    return join(this.#path, 'ingest', `${encodedOf(digest)}.part`)
  }

  #look(digest: Digest, path: string): Seen | undefined {
    return present(() => {
      const { ino, size, mtimeMs, ctimeMs } = statSync(path)
      const stamp = `${ino} ${size} ${mtimeMs} ${ctimeMs}`
      const known = this.#seen.get(digest)
      if (known?.stamp === stamp) return known
      const hash = createHash('sha256').update(readFileSync(path)).digest('hex')
      return { stamp, size, isRight: hash === encodedOf(digest) }
    })
  }
}

/** It may be removed at this very moment. */
function present<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}
