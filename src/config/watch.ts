import { stat } from 'node:fs/promises'

import { type FileStamp, isSameStamp, stampOf } from './stamp.ts'

/** A kubelet takes up to a minute to bring a changed ConfigMap, so that this adds little. */
const LOOK_EVERY_MS = 5_000

export interface ConfigWatchOptions {
  /** Absolute, or relative to the working directory. */
  readonly file: string
  /** Of the file as it was last read. */
  readonly stamp: FileStamp | undefined
  /** Called once for each change; must not throw. */
  readonly onChange: () => void
  /** Milliseconds between two looks. */
  readonly everyMs?: number
}

/**
 * Tells when the configuration file has changed. It looks from time to time: events of the file
 * system do not come from network file systems, nor through the links by which a ConfigMap is
 * swapped whole (`..data`). The timer does not keep the process alive.
 */
export class ConfigWatch {
  readonly #file: string
  readonly #onChange: () => void
  readonly #everyMs: number
  /** What is known of already. */
  #known: FileStamp | undefined
  /** What the last look saw. */
  #seen: FileStamp | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor({ file, stamp, onChange, everyMs = LOOK_EVERY_MS }: ConfigWatchOptions) {
    this.#file = file
    this.#known = stamp
    this.#onChange = onChange
    this.#everyMs = everyMs
    this.#schedule()
  }

  /**
   * Looks once. A change counts when two looks in a row saw the same, so that a file is not read
   * half written. A file that is not there, or cannot be seen, is no change until it is back.
   */
  async look(): Promise<void> {
    const stamp = await stampAt(this.#file)
    if (this.#isClosed) return
    const isSteady = isSameStamp(stamp, this.#seen)
    this.#seen = stamp
    if (stamp === undefined || !isSteady || isSameStamp(stamp, this.#known)) return
    this.#known = stamp
    this.#onChange()
  }

  /**
   * To be called before the file is read for another reason: what is there now is no news any more.
   * A file that is not there is: once it is back, it is a change, the same as before or not.
   */
  async reading(): Promise<void> {
    this.#known = await stampAt(this.#file)
  }

  /** No change is told of after this. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  /** One look at a time: on a network file system that hangs, a look lasts. */
  #schedule(): void {
    if (this.#isClosed) return
    this.#timer = setTimeout(() => {
      void this.look().finally(() => this.#schedule())
    }, this.#everyMs).unref()
  }
}

function stampAt(file: string): Promise<FileStamp | undefined> {
  return stat(file, { bigint: true }).then(stampOf, () => undefined)
}
