/** The registries that an operator has forbidden: `blocked.json` in the data directory. */
import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { Logger } from '../log.ts'
import { codeOf } from './errors.ts'
import { syncDirectory, writeFully } from './files.ts'

const FILE = 'blocked.json'
/** One name, as only one is written at a time: what a crash leaves is written over by the next. */
const NEW_FILE = `${FILE}.new`

/** Since when and why an upstream is not asked. */
export interface Block {
  /** Epoch milliseconds. */
  readonly at: number
  readonly reason: string | undefined
}

export interface BlocksOptions {
  /** The data directory. */
  readonly path: string
  readonly logger: Pick<Logger, 'error'>
}

/**
 * A file of its own, so that neither a restart nor a lost database lets Larder ask a registry again
 * that an operator does not trust.
 */
export class Blocks {
  readonly #path: string
  #blocks: ReadonlyMap<string, Block>
  #writing: Promise<void> = Promise.resolve()

  /** What cannot be read is said, and forbids nothing. */
  static async open({ path, logger }: BlocksOptions): Promise<Blocks> {
    try {
      return new Blocks(path, parse(await readFile(join(path, FILE), 'utf8')))
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') {
        const reason = error instanceof Error ? error.message : String(error)
        logger.error({ file: FILE, reason }, 'which upstreams are blocked cannot be read: none is')
      }
      return new Blocks(path, new Map())
    }
  }

  private constructor(path: string, blocks: ReadonlyMap<string, Block>) {
    this.#path = path
    this.#blocks = blocks
  }

  get(upstream: string): Block | undefined {
    return this.#blocks.get(upstream)
  }

  /** Their names, as they were blocked. */
  get names(): readonly string[] {
    return [...this.#blocks.keys()]
  }

  /** In effect at once; durable when it resolves. @throws what the disk says: until a restart then */
  block(upstream: string, block: Block): Promise<void> {
    return this.#change((blocks) => void blocks.set(upstream, block))
  }

  /** @throws as {@link block} */
  unblock(upstream: string): Promise<void> {
    return this.#change((blocks) => void blocks.delete(upstream))
  }

  #change(change: (blocks: Map<string, Block>) => void): Promise<void> {
    const changed = new Map(this.#blocks)
    change(changed)
    this.#blocks = changed
    // The newest state is written, whichever change it is that waits for it.
    const written = this.#writing.then(() => this.#write())
    this.#writing = written.catch(() => undefined)
    return written
  }

  async #write(): Promise<void> {
    const temporary = join(this.#path, NEW_FILE)
    try {
      const handle = await open(temporary, 'w', 0o600)
      try {
        await writeFully(handle, [Buffer.from(format(this.#blocks))], 0, () => {})
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(temporary, join(this.#path, FILE))
      await syncDirectory(this.#path)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined)
      throw error
    }
  }
}

function format(blocks: ReadonlyMap<string, Block>): string {
  return `${JSON.stringify({ blocked: Object.fromEntries(blocks) }, undefined, 2)}\n`
}

/** @throws {Error} for what was not written here */
function parse(text: string): ReadonlyMap<string, Block> {
  const { blocked } = JSON.parse(text) as { readonly blocked?: unknown }
  if (typeof blocked !== 'object' || blocked === null) throw new Error('it has no blocked')
  return new Map(
    Object.entries(blocked as Readonly<Record<string, Partial<Block>>>).map(
      ([name, { at = 0, reason }]) => [name, { at, reason }],
    ),
  )
}
