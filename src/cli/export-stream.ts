import { BUNDLE_FILE, MAX_BUNDLE_BYTES } from '../airgap/bundle/bundle.ts'
import { ArchiveError } from '../airgap/bundle/errors.ts'
import type { Interruption } from './interruption.ts'

const HEADER_BYTES = 512
/** Where a header has its size, in octal digits (POSIX.1-2017, ustar). */
const SIZE = { at: 124, digits: 11 } as const

/** A bundle on its way from the server. Its first file stays in memory. */
export class ExportStream {
  /** That have come. */
  bytes = 0
  readonly #source: AsyncGenerator<Uint8Array, void, undefined>
  readonly #interruption: Interruption
  readonly #onProgress: () => void
  readonly #head: Uint8Array[] = []
  #headBytes = 0
  /** The first header, and then the file behind it too. */
  #neededBytes = HEADER_BYTES

  constructor(
    source: AsyncGenerator<Uint8Array, void, undefined>,
    interruption: Interruption,
    onProgress: () => void,
  ) {
    this.#source = source
    this.#interruption = interruption
    this.#onProgress = onProgress
  }

  /** @throws what asking fails with, and the interruption */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const next = await this.#interruption.race(this.#source.next())
        if (next.done === true) return
        this.bytes += next.value.length
        if (this.#headBytes < this.#neededBytes) this.#keep(next.value)
        this.#onProgress()
        yield next.value
      }
    } finally {
      // It may be waiting for bytes, until the interruption has ended it.
      this.#source.return().catch(() => undefined)
    }
  }

  /**
   * `larder-bundle.json`, once all has come.
   *
   * @throws {ArchiveError} what came does not begin with it
   */
  get document(): Buffer {
    const head = Buffer.concat(this.#head)
    const name = head.toString('latin1', 0, BUNDLE_FILE.length)
    if (name !== BUNDLE_FILE || head.length < this.#neededBytes) {
      throw new ArchiveError('what came is no bundle of Larder')
    }
    return head.subarray(HEADER_BYTES, this.#neededBytes)
  }

  #keep(piece: Uint8Array): void {
    this.#head.push(piece)
    this.#headBytes += piece.length
    if (this.#neededBytes > HEADER_BYTES || this.#headBytes < HEADER_BYTES) return
    const header = Buffer.concat(this.#head)
    const size = Number.parseInt(header.toString('latin1', SIZE.at, SIZE.at + SIZE.digits), 8)
    if (size <= MAX_BUNDLE_BYTES) this.#neededBytes += size
  }
}
