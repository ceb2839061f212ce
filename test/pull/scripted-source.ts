import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'

import { UpstreamError } from '../../src/upstream/errors.ts'
import type { RemoteBlob } from '../../src/upstream/ports.ts'
import type { Barrier } from '../support/barrier.ts'

/** How a registry answers one request for a blob. */
export interface SourceAnswer {
  /** What it takes for the blob: the wrong bytes, if it lies. */
  readonly body: Buffer
  /** What it says of the size of the whole; `undefined`: nothing. */
  readonly size?: number | undefined
  /** Whether `Range` is heeded; default yes. */
  readonly ranges?: boolean
  /** Sends so many bytes and then ends: with an error, or as if that were all. */
  readonly cut?: { readonly after: number; readonly by: 'reset' | 'end' }
  /** It cannot even be asked. */
  readonly refuses?: UpstreamError
  /** Bytes a piece; default 64 KiB. */
  readonly pieceBytes?: number
  /** Answers only then. */
  readonly hold?: Barrier
  /** Waits there when so many bytes have been sent. */
  readonly stall?: { readonly after: number; readonly barrier: Barrier }
}

/** A registry in memory: each request is answered by the next answer, the last one for ever. */
export class ScriptedSource {
  /** The offsets that were asked for. */
  readonly offsets: number[] = []
  /** Bodies that are neither read to their end nor destroyed. */
  open = 0
  readonly #answers: readonly SourceAnswer[]

  constructor(...answers: readonly SourceAnswer[]) {
    this.#answers = answers
  }

  readonly openAt = async (offset: number): Promise<RemoteBlob> => {
    const answer = this.#answers[Math.min(this.offsets.length, this.#answers.length - 1)]
    this.offsets.push(offset)
    await setImmediate()
    await answer?.hold?.wait()
    if (answer === undefined) throw new Error('nothing is scripted')
    if (answer.refuses !== undefined) throw answer.refuses
    const start = answer.ranges === false ? 0 : offset
    if (start > 0 && start >= answer.body.length) throw pastEnd()
    const body = bodyOf(pieces(answer, start))
    this.open++
    body.once('close', () => this.open--)
    return { body, offset: start, size: answer.size }
  }
}

export function upstreamError(
  kind: UpstreamError['kind'],
  status?: number,
  reason = 'reset',
): UpstreamError {
  const known = status === undefined ? {} : { status }
  return new UpstreamError(kind, { upstream: 'test', reason, message: `it is ${kind}`, ...known })
}

/** What the client makes of a 416. */
function pastEnd(): UpstreamError {
  return upstreamError('invalid', undefined, 'protocol')
}

/** Unlike `Readable.from`, it is gone at once when it is destroyed, whatever its source waits for. */
function bodyOf(source: AsyncGenerator<Buffer>): Readable {
  return new Readable({
    read() {
      source.next().then(
        ({ value, done }) => this.push(done === true ? null : value),
        (error: Error) => this.destroy(error),
      )
    },
  })
}

async function* pieces(answer: SourceAnswer, start: number): AsyncGenerator<Buffer> {
  const { body, cut, pieceBytes = 64 * 1024, stall } = answer
  const end = Math.min(body.length, start + (cut?.after ?? body.length))
  const stand = stall === undefined ? end : Math.min(end, start + stall.after)
  yield* split(body.subarray(start, stand), pieceBytes)
  await stall?.barrier.wait()
  yield* split(body.subarray(stand, end), pieceBytes)
  // As the transport names what undici reports of a body under way.
  if (cut?.by === 'reset') throw upstreamError('unreachable')
}

async function* split(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    await setImmediate()
    yield bytes.subarray(at, at + pieceBytes)
  }
}
