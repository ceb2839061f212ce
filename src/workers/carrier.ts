import type { ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'

import { ClientGoneError, writeBody } from '../api/body.ts'
import { parseDigest } from '../oci/digest.ts'
import { BegunReading } from '../pull/begun.ts'
import { codeOf, TruncatedFileError } from '../store/errors.ts'
import { type ParcelNote, type ParcelReport, TRUNCATED } from './relayed.ts'
import type { Vault } from './vault.ts'

/** Metrics go on while a large blob is sent: so often it is said how far it is. */
const PROGRESS_MS = 1_000

/** A body to send, and who to tell of it. */
export interface Carriage {
  readonly note: ParcelNote
  readonly report: Writable
  readonly response: ServerResponse
  /** When the request did, as `performance.now()` says it. */
  readonly arrivedAt: number
}

/** Sends stored blobs to clients from their files. */
export class Carrier {
  readonly #vault: Vault

  constructor(vault: Vault) {
    this.#vault = vault
  }

  /** @returns false: the client was sent nothing, and gets its answer in the usual way */
  async carry({ note, report, response, arrivedAt }: Carriage): Promise<boolean> {
    const tell = (what: ParcelReport) => void report.write(`${JSON.stringify(what)}\n`)
    const gone = new AbortController()
    response.once('close', () => gone.abort(new ClientGoneError()))
    const journey = new Journey(tell, arrivedAt)
    try {
      const end = await this.#send(note, response, gone.signal, journey)
      journey.tell()
      tell({ kind: end })
      return end !== 'declined'
    } catch (error) {
      response.destroy()
      journey.tell()
      tell(failureOf(error))
      return true
    } finally {
      report.end()
    }
  }

  async #send(
    note: ParcelNote,
    response: ServerResponse,
    signal: AbortSignal,
    journey: Journey,
  ): Promise<'whole' | 'cut' | 'declined'> {
    const { status, headers, start, end } = note
    const file = await this.#vault.open(parseDigest(note.digest), note.size).catch(() => undefined)
    if (file === undefined) return 'declined'
    try {
      const reading = file.content.read({ start, end }, signal)
      const pieces = await BegunReading.begin(reading).catch(() => undefined)
      if (pieces === undefined) return signal.aborted ? 'cut' : 'declined'
      if (response.destroyed) return 'cut'
      response.writeHead(status, [...headers])
      if (!(await writeBody(response, pieces, (bytes) => journey.sent(bytes)))) return 'cut'
      return (await ended(response)) ? 'whole' : 'cut'
    } finally {
      await file.close()
    }
  }
}

/** How far a body has come. */
class Journey {
  readonly #tell: (what: ParcelReport) => void
  readonly #arrivedAt: number
  #firstMs: number | undefined
  #bytes = 0
  #told = 0
  #toldAt = performance.now()

  constructor(tell: (what: ParcelReport) => void, arrivedAt: number) {
    this.#tell = tell
    this.#arrivedAt = arrivedAt
  }

  sent(bytes: number): void {
    const now = performance.now()
    this.#firstMs ??= now - this.#arrivedAt
    this.#bytes += bytes
    if (now - this.#toldAt < PROGRESS_MS) return
    this.#toldAt = now
    this.tell()
  }

  tell(): void {
    if (this.#firstMs === undefined || this.#told === this.#bytes) return
    this.#told = this.#bytes
    this.#tell({ kind: 'sent', bytes: this.#bytes, firstMs: this.#firstMs })
  }
}

/** @returns whether all of it has left */
function ended(response: ServerResponse): Promise<boolean> {
  if (response.destroyed) return Promise.resolve(false)
  return new Promise((resolve) => {
    response.once('close', () => resolve(response.writableFinished))
    response.end()
  })
}

function failureOf(error: unknown): ParcelReport {
  if (error instanceof ClientGoneError) return { kind: 'cut' }
  if (error instanceof TruncatedFileError) return { kind: 'failed', code: TRUNCATED }
  return { kind: 'failed', code: codeOf(error) ?? 'unknown' }
}
