import { openSync, writeSync } from 'node:fs'

import type { Digest } from '../../src/oci/digest.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import { RetentionRows } from '../../src/store/catalog/retention.ts'
import { SqliteCatalog } from '../../src/store/catalog.ts'
import { FileIngest } from '../../src/store/ingest.ts'
import type { Place } from '../../src/store/ports.ts'
import type { Change, Mark, Meaning } from './marks.ts'

/** Says what is promised, at its place among the system calls of this very process. */
export class Witness {
  readonly #marks: number
  readonly #stored: Set<Digest>
  readonly #waiting = new Map<Digest, PromiseWithResolvers<void>>()

  /**
   * @param path of a file, which is made if need be
   * @param stored what an earlier life has left
   */
  constructor(path: string, stored: Iterable<Digest>) {
    this.#stored = new Set(stored)
    this.#marks = openSync(path, 'a')
  }

  /** Settles once the row of each is committed. */
  async stored(digests: Iterable<Digest>): Promise<void> {
    for (const digest of digests) {
      if (this.#stored.has(digest)) continue
      const waiting = this.#waiting.get(digest) ?? Promise.withResolvers<void>()
      this.#waiting.set(digest, waiting)
      await waiting.promise
    }
  }

  damaged(digest: Digest): void {
    this.#stored.delete(digest)
    this.#say({ kind: 'damaged', digest })
  }

  /** Before a tag or pin is changed. */
  begins(kind: Change['kind'], name: string, meaning: Meaning): void {
    this.#say({ kind, name, meaning, isDone: false })
  }

  /** @param content all that a pin keeps */
  isDone(kind: Change['kind'], name: string, meaning: Meaning, content?: readonly Digest[]): void {
    const kept = content === undefined ? {} : { content }
    this.#say({ kind, name, meaning, isDone: true, ...kept })
  }

  /** Listens to what the store does by itself. */
  attach(): void {
    const leaving = (digest: Digest) => this.#leaves(digest)
    const stored = (digest: Digest) => this.#isStored(digest)
    const { prototype } = SqliteCatalog
    const { putBlob, putManifest, putTag, deleteBlob, deleteTag } = prototype
    prototype.putBlob = async function (digest, ...rest) {
      await putBlob.call(this, digest, ...rest)
      stored(digest)
    }
    const change = async (where: Place, tag: string, to: Meaning, work: () => Promise<void>) => {
      const name = `${where.upstream}/${where.repository}:${tag}`
      this.begins('tag', name, to)
      await work()
      this.isDone('tag', name, to)
    }
    prototype.putManifest = async function (place, manifest, children, tag) {
      const work = () => putManifest.call(this, place, manifest, children, tag)
      await (tag === undefined ? work() : change(place, tag.tag, manifest.digest, work))
    }
    prototype.putTag = async function (place, tag, record) {
      await change(place, tag, record.digest, () => putTag.call(this, place, tag, record))
    }
    prototype.deleteTag = async function (place, tag) {
      await change(place, tag, null, () => deleteTag.call(this, place, tag))
    }
    prototype.deleteBlob = async function (digest) {
      leaving(digest)
      await deleteBlob.call(this, digest)
    }
    attachToRemovals(leaving)
  }

  /** Settles when so much of a download is written; no more will be, for ever. */
  async standsStill(digest: Digest, bytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { append } = FileIngest.prototype
    FileIngest.prototype.append = async function (buffers) {
      await append.call(this, buffers)
      if (this.digest !== digest || this.size < bytes) return
      resolve()
      await new Promise(() => {})
    }
    await promise
  }

  #isStored(digest: Digest): void {
    this.#stored.add(digest)
    this.#say({ kind: 'stored', digest })
    this.#waiting.get(digest)?.resolve()
    this.#waiting.delete(digest)
  }

  #leaves(digest: Digest): void {
    this.#stored.delete(digest)
    this.#say({ kind: 'leaving', digest })
  }

  #say(mark: Mark): void {
    // With a position it is a pwrite, as everything that is recorded is.
    writeSync(this.#marks, JSON.stringify(mark), 0)
  }
}

function attachToRemovals(leaving: (digest: Digest) => void): void {
  const { remove } = RetentionRows.prototype
  RetentionRows.prototype.remove = function (digest) {
    leaving(digest)
    return remove.call(this, digest)
  }
  const { delete: unlink, quarantine } = FileBlobs.prototype
  FileBlobs.prototype.delete = async function (digest) {
    leaving(digest)
    await unlink.call(this, digest)
  }
  FileBlobs.prototype.quarantine = async function (digest) {
    leaving(digest)
    await quarantine.call(this, digest)
  }
}
