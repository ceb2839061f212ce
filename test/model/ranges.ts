import assert from 'node:assert/strict'

import type { ClientResponse } from '../support/http-client.ts'
import type { RangeWish } from './steps.ts'

interface Span {
  readonly start: number
  /** Included. */
  readonly end: number
}

/** The header that asks for `wishes` of a blob; a little of what is asked for is beyond its end. */
export function headerOf(wishes: readonly RangeWish[], size: number): string {
  const specs = wishes.map(({ kind, first, length }) => {
    const from = first % (size + 2)
    if (kind === 'from') return `${from}-`
    return kind === 'last' ? `-${1 + (length % (size + 2))}` : `${from}-${from + length}`
  })
  return `bytes=${specs.join(',')}`
}

/** RFC 9110 §14.1.2, of the specs that can be satisfied. */
function spansOf(wishes: readonly RangeWish[], size: number): readonly Span[] {
  return wishes.flatMap(({ kind, first, length }) => {
    const from = first % (size + 2)
    const last = 1 + (length % (size + 2))
    const start = kind === 'last' ? Math.max(0, size - last) : from
    const end = kind === 'span' ? Math.min(from + length, size - 1) : size - 1
    return start < size ? [{ start, end }] : []
  })
}

export interface RangedAnswer {
  readonly kind: 'whole' | 'none' | 'parts'
  /** Of `parts`: what was sent, and what should have been. */
  readonly parts: readonly { readonly sent: Buffer; readonly wanted: Buffer }[]
}

/** Takes an answer to a ranged request apart; throws where it is not the one that RFC 9110 asks for. */
export function readRanged(
  { status, headers, body }: ClientResponse,
  wishes: readonly RangeWish[],
  truth: Buffer,
): RangedAnswer {
  const spans = spansOf(wishes, truth.length)
  const bytes = spans.reduce((sum, { start, end }) => sum + end - start + 1, 0)
  if (status === 416) {
    assert.equal(spans.length, 0, 'a range that is within the blob is satisfied')
    assert.equal(headers['content-range'], `bytes */${truth.length}`)
    return { kind: 'none', parts: [] }
  }
  if (status === 200) {
    assert.ok(truth.length === 0 || bytes > truth.length, 'a range is not answered with the whole')
    return { kind: 'whole', parts: [] }
  }
  assert.equal(status, 206)
  assert.ok(spans.length > 0 && bytes <= truth.length, 'no 206 of what cannot be satisfied')
  const sent = spans.length === 1 ? [single(headers, body)] : multiple(headers, body)
  assert.equal(sent.length, spans.length, 'as many parts as were asked for')
  return {
    kind: 'parts',
    parts: spans.map(({ start, end }, i) => {
      assert.equal(sent[i]?.range, `bytes ${start}-${end}/${truth.length}`)
      return { sent: sent[i].bytes, wanted: truth.subarray(start, end + 1) }
    }),
  }
}

interface Part {
  readonly range: string | undefined
  readonly bytes: Buffer
}

function single(headers: ClientResponse['headers'], bytes: Buffer): Part {
  return { range: headers['content-range'], bytes }
}

/** RFC 9110 §14.6. */
function multiple(headers: ClientResponse['headers'], body: Buffer): readonly Part[] {
  const boundary = /boundary=(\S+)/.exec(headers['content-type'] ?? '')?.[1]
  assert.ok(boundary !== undefined, 'several ranges are multipart')
  const parts: Part[] = []
  for (let position = 0; ; ) {
    const headEnd = body.indexOf('\r\n\r\n', position)
    if (headEnd < 0) {
      assert.equal(body.toString('latin1', position), `\r\n--${boundary}--\r\n`)
      return parts
    }
    const head = body.toString('latin1', position, headEnd)
    assert.ok(head.startsWith(`\r\n--${boundary}\r\n`), 'a part begins with the boundary')
    const [range, first, last] = /bytes (\d+)-(\d+)\/\d+/.exec(head) ?? []
    const start = headEnd + 4
    position = start + Number(last) - Number(first) + 1
    parts.push({ range, bytes: body.subarray(start, position) })
  }
}
