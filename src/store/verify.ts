import type { Digest } from '../oci/digest.ts'
import type { CheckedRow, Checker } from './check.ts'
import type { CheckRecorder } from './check-recorder.ts'
import { DeniedFileError } from './errors.ts'
import type { Pins } from './pins.ts'
import type { Catalog } from './ports.ts'
import type { Repair, Source } from './repair.ts'

export interface VerificationOptions {
  readonly blobs: {
    listQuarantined(): Promise<readonly { readonly digest: Digest }[]>
  }
  readonly catalog: Pick<Catalog, 'getBlob' | 'totals'> & {
    pageChecked(after: string, limit: number): Promise<readonly CheckedRow[]>
  }
  readonly checker: Pick<Checker, 'check'>
  readonly recorder: Pick<CheckRecorder, 'flush'>
  readonly pins: Pick<Pins, 'lost'>
  readonly repair: Pick<Repair, 'restore' | 'sourcesOf'>
  /** Until it settles it is not known what is here. */
  readonly ready: Promise<unknown>
}

export interface VerifyOptions {
  /** Whether what is damaged or missing is fetched again. What is damaged is put aside either way. */
  readonly repair: boolean
  readonly signal: AbortSignal
}

export type VerifyEvent =
  | {
      readonly kind: 'progress'
      readonly checked: number
      readonly total: number
      /** Of what was checked. */
      readonly bytes: number
    }
  | { readonly kind: 'fault'; readonly digest: Digest; readonly fault: 'damaged' | 'missing' }

/** Numbers of contents. */
export interface Verified {
  readonly checked: number
  readonly ok: number
  readonly damaged: number
  readonly missing: number
  readonly repaired: number
  /** The first of those that stay damaged or missing, and where they belong. */
  readonly unrepaired: readonly Unrepaired[]
}

export interface Unrepaired {
  readonly digest: Digest
  readonly fault: 'damaged' | 'missing'
  /** `<upstream>/<repository>` */
  readonly places: readonly string[]
}

const BATCH = 64
const MAX_UNREPAIRED = 1_000

/** Checks everything that is stored, now. */
export class Verification {
  readonly #options: VerificationOptions

  constructor(options: VerificationOptions) {
    this.#options = options
  }

  /** Ends early, with what it has found, once `signal` aborts. */
  async verify(options: VerifyOptions, onEvent: (event: VerifyEvent) => void): Promise<Verified> {
    const { catalog, recorder, ready } = this.#options
    await ready.catch(() => undefined)
    const found = new Findings()
    const { blobs: total } = await catalog.totals()
    try {
      for await (const row of this.#rows()) {
        if (options.signal.aborted) break
        await this.#check(row, options, found, onEvent)
        const { checked, bytes } = found
        onEvent({ kind: 'progress', checked, total: Math.max(total, checked), bytes })
      }
      await this.#checkLost(options, found, onEvent)
    } catch (error) {
      if (!options.signal.aborted) throw error
    } finally {
      await recorder.flush()
    }
    return found.result()
  }

  async #check(
    row: CheckedRow,
    options: VerifyOptions,
    found: Findings,
    onEvent: (event: VerifyEvent) => void,
  ): Promise<void> {
    const { digest, size } = row
    const { signal } = options
    const result = await this.#options.checker.check(row, { signal }).catch(unlessDenied)
    if (result === 'gone') return
    found.checked++
    if (result !== 'missing') found.bytes += size
    if (result === 'ok') {
      found.ok++
      return
    }
    const fault = result === 'missing' ? 'missing' : 'damaged'
    await this.#report(digest, fault, options, found, onEvent)
  }

  /**
   * What was put aside before and has not come back since is missing still. So is what pins keep and
   * whose file had gone before the last start: that took its row.
   */
  async #checkLost(
    options: VerifyOptions,
    found: Findings,
    onEvent: (event: VerifyEvent) => void,
  ): Promise<void> {
    const { catalog, repair } = this.#options
    for await (const digest of this.#lost()) {
      if (options.signal.aborted) return
      if (found.has(digest) || (await catalog.getBlob(digest)) !== undefined) continue
      // What was purged since belongs nowhere.
      if ((await repair.sourcesOf(digest)).length === 0) continue
      found.checked++
      await this.#report(digest, 'missing', options, found, onEvent)
    }
  }

  async *#lost(): AsyncGenerator<Digest> {
    const { blobs, pins } = this.#options
    yield* (await blobs.listQuarantined()).map(({ digest }) => digest)
    yield* pins.lost()
  }

  async #report(
    digest: Digest,
    fault: Unrepaired['fault'],
    { repair, signal }: VerifyOptions,
    found: Findings,
    onEvent: (event: VerifyEvent) => void,
  ): Promise<void> {
    const repairs = this.#options.repair
    found.add(digest, fault)
    onEvent({ kind: 'fault', digest, fault })
    if (repair && (await repairs.restore(digest, signal))) found.repaired++
    else found.leave(digest, fault, await repairs.sourcesOf(digest))
  }

  async *#rows(): AsyncGenerator<CheckedRow> {
    let after = ''
    for (;;) {
      const page = await this.#options.catalog.pageChecked(after, BATCH)
      const last = page.at(-1)
      if (last === undefined) return
      yield* page
      after = last.digest
    }
  }
}

/** What may not be read may be right: it stays where it is, and a repair stores it anew. */
function unlessDenied(error: unknown): 'missing' {
  if (error instanceof DeniedFileError) return 'missing'
  throw error
}

class Findings {
  checked = 0
  ok = 0
  damaged = 0
  missing = 0
  repaired = 0
  bytes = 0
  readonly #faulty = new Set<Digest>()
  readonly #unrepaired: Unrepaired[] = []

  add(digest: Digest, fault: Unrepaired['fault']): void {
    this[fault]++
    this.#faulty.add(digest)
  }

  has(digest: Digest): boolean {
    return this.#faulty.has(digest)
  }

  leave(digest: Digest, fault: Unrepaired['fault'], sources: readonly Source[]): void {
    if (this.#unrepaired.length >= MAX_UNREPAIRED) return
    const places = sources.map(({ upstream, repository }) => `${upstream}/${repository}`)
    this.#unrepaired.push({ digest, fault, places })
  }

  result(): Verified {
    const { checked, ok, damaged, missing, repaired } = this
    return { checked, ok, damaged, missing, repaired, unrepaired: this.#unrepaired }
  }
}
