import type { ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'

import { BodyWriter, ClientGoneError } from '../api/body.ts'
import { parseDigest } from '../oci/digest.ts'
import { BegunReading } from '../pull/begun.ts'
import type { Content } from '../pull/content.ts'
import { codeOf, TruncatedFileError } from '../store/errors.ts'
import type { Reach } from './reach.ts'
import { type ParcelNote, type ParcelReport, TRUNCATED } from './relayed.ts'
import type { OpenVault, Vault } from './vault.ts'

/** Metrics go on while a large blob is sent: so often it is said how far it is. */
const PROGRESS_MS = 1_000

/** A body to send, and who to tell of it. */
export interface Carriage {
  readonly note: ParcelNote
  /** For the file of a download. */
  readonly reach: Reach
  readonly report: Writable
  readonly response: ServerResponse
  /** Aborts when the client has gone, or is answered in another way. */
  readonly signal: AbortSignal
  /** When the request did, as `performance.now()` says it. */
  readonly arrivedAt: number
}

/** Sends stored blobs to clients from their files. */
export class Carrier {
  readonly #vault: Vault
  readonly #bodies = new BodyWriter()

  constructor(vault: Vault) {
    this.#vault = vault
  }

  /** @returns false: what the client was not sent comes in the usual way */
  async carry(carriage: Carriage): Promise<boolean> {
    const { report, response, arrivedAt, signal } = carriage
    const tell = (what: ParcelReport) => {
      // Whoever is answered in another way is reported of by that.
      if (!report.writableEnded) report.write(`${JSON.stringify(what)}\n`)
    }
    const journey = new Journey(tell, arrivedAt)
    try {
      const end = await this.#send(carriage, signal, journey)
      journey.tell()
      tell({ kind: end })
      return end !== 'declined'
    } catch (error) {
      if (response.headersSent) response.destroy()
      journey.tell()
      tell(failureOf(error))
      return true
    } finally {
      report.end()
    }
  }

  async #send(
    { note, reach, response }: Carriage,
    signal: AbortSignal,
    journey: Journey,
  ): Promise<'whole' | 'cut' | 'declined'> {
    const { status, headers, start, end } = note
    const file = await this.#open(note).catch(() => undefined)
    if (file === undefined) return 'declined'
    try {
      const reading =
        note.flight === undefined
          ? file.content.read({ start, end }, signal)
          : follow(file.content, note, reach, signal)
      const pieces = await BegunReading.begin(reading).catch(() => undefined)
      if (pieces === undefined) return signal.aborted ? 'cut' : 'declined'
      if (signal.aborted) return 'cut'
      response.writeHead(status, [...headers])
      const sent = (bytes: number) => journey.sent(bytes)
      if (!(await this.#bodies.write(response, pieces, sent))) return 'cut'
      if (journey.bytes <= end - start) return 'declined'
      return (await ended(response)) ? 'whole' : 'cut'
    } finally {
      await file.close()
    }
  }

  #open({ digest, size, flight }: ParcelNote): Promise<OpenVault> {
    const parsed = parseDigest(digest)
    if (flight === undefined) return this.#vault.open(parsed, size)
    return this.#vault.openPart(parsed, size, flight)
  }
}

/** Reads a file as it is filled; to where it no longer is, if that comes before the end. */
async function* follow(
  content: Content,
  { start, end }: ParcelNote,
  reach: Reach,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = start; at <= end; ) {
    const limit = await reach.beyond(at, signal)
    if (limit === undefined) return
    const last = Math.min(limit - 1, end)
    yield* content.read({ start: at, end: last }, signal)
    at = last + 1
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

  get bytes(): number {
    return this.#bytes
  }

  sent(bytes: number): void {
    const now = performance.now()
    this.#firstMs ??= now - this.#arrivedAt
    this.#bytes += bytes
    if (this.#told > 0 && now - this.#toldAt < PROGRESS_MS) return
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
