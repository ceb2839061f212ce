import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { matchesEtag, parseRanges, passesIfRange, type Ranges } from '../../src/api/ranges.ts'

const WHOLE: Ranges = { kind: 'whole' }
const UNSATISFIABLE: Ranges = { kind: 'unsatisfiable' }

test('no range, another unit and what cannot be read are the whole', () => {
  assert.deepEqual(parseRanges(undefined, 100), WHOLE)
  const headers = ['', 'bytes', 'bytes=', 'bytes=-', 'bytes=,', 'bytes=0-1,', 'items=0-1']
  const others = [
    'bytes=a-b',
    'bytes=0-1;2-3',
    'bytes=1-2-3',
    'bytes=+1-2',
    'bytes=0x1-',
    'bytes 0-1',
  ]
  for (const header of [...headers, ...others, 'bytes=--1', 'bytes=1.0-2', 'bytes=0-1 2-3']) {
    assert.deepEqual(parseRanges(header, 100), WHOLE, header)
  }
})

test('one range is one part, clipped to what there is', () => {
  const part = (header: string) => parseRanges(header, 2048)
  assert.deepEqual(part('bytes=500-1499'), parts([500, 1499]))
  assert.deepEqual(part('bytes=0-'), parts([0, 2047]))
  assert.deepEqual(part('bytes=-500'), parts([1548, 2047]))
  assert.deepEqual(part('bytes=-99999'), parts([0, 2047]))
  assert.deepEqual(part('bytes=2000-5000'), parts([2000, 2047]))
  assert.deepEqual(part('BYTES=1-1'), parts([1, 1]))
  assert.deepEqual(part('bytes= 1-1'), parts([1, 1]))
  assert.deepEqual(part('bytes=2047-99999999999999999999'), parts([2047, 2047]))
})

test('what is not within the content cannot be satisfied', () => {
  for (const header of ['bytes=500-0', 'bytes=2048-', 'bytes=5000-10000', 'bytes=-0']) {
    assert.deepEqual(parseRanges(header, 2048), UNSATISFIABLE, header)
  }
  assert.deepEqual(parseRanges('bytes=99999999999999999999-', 2048), UNSATISFIABLE)
})

test('of nothing, a suffix is the whole and anything else cannot be satisfied', () => {
  assert.deepEqual(parseRanges('bytes=-500', 0), WHOLE)
  for (const header of ['bytes=0-0', 'bytes=0-', 'bytes=-0', 'bytes=5-9']) {
    assert.deepEqual(parseRanges(header, 0), UNSATISFIABLE, header)
  }
})

test('more ranges or bytes than are reasonable are the whole', () => {
  const ranges = (count: number) => Array.from({ length: count }, (_, i) => `${i}-${i}`).join(',')
  assert.equal(parseRanges(`bytes=${ranges(128)}`, 1000).kind, 'parts')
  assert.deepEqual(parseRanges(`bytes=${ranges(129)}`, 1000), WHOLE)
  assert.deepEqual(parseRanges('bytes=0-,0-', 1000), WHOLE)
  assert.deepEqual(parseRanges(`bytes=0-0${' '.repeat(20_000)}`, 1000), WHOLE)
})

test('any ranges give what looking at every position gives', () => {
  const spec = fc.oneof(
    fc.tuple(fc.nat(40), fc.nat(40)).map(([first, last]) => ({ first, last })),
    fc.nat(40).map((first) => ({ first, last: undefined })),
    fc.nat(40).map((last) => ({ first: undefined, last })),
  )
  const specs = fc.array(spec, { minLength: 1, maxLength: 5 })
  const space = fc.constantFrom('', ' ', '\t', '  ')
  fc.assert(
    fc.property(fc.nat(32), specs, space, (size, asked, gap) => {
      const texts = asked.map(({ first, last }) => `${first ?? ''}-${last ?? ''}`)
      const actual = parseRanges(`bytes=${texts.join(`${gap},${gap}`)}`, size)
      assert.deepEqual(actual, oracle(size, asked))
    }),
    { numRuns: 3000 },
  )
})

test('no text makes a part that is not within the content', () => {
  const text = fc.oneof(
    fc.string(),
    fc.string().map((rest) => `bytes=${rest}`),
    fc.stringMatching(/^bytes=[-0-9, ]{0,30}$/),
  )
  fc.assert(
    fc.property(text, fc.nat(1000), (header, size) => {
      const ranges = parseRanges(header, size)
      if (ranges.kind !== 'parts') return
      assert.ok(ranges.parts.length > 0)
      for (const { start, end } of ranges.parts) {
        assert.ok(Number.isSafeInteger(start) && Number.isSafeInteger(end))
        assert.ok(0 <= start && start <= end && end < size, `${start}-${end} of ${size}`)
      }
    }),
    { numRuns: 3000 },
  )
})

test('a long header is read in a time that does not grow out of hand', () => {
  const started = performance.now()
  for (const body of ['0-0,', ' ', '0', '-', ',', '0-0 ', '0-0 , ']) {
    parseRanges(`bytes=${body.repeat(16_000 / body.length)}x`, 1000)
  }
  assert.ok(performance.now() - started < 1000)
})

test('If-Range lets a range pass only for exactly this strong validator', () => {
  assert.equal(passesIfRange(undefined, '"a"'), true)
  assert.equal(passesIfRange('"a"', '"a"'), true)
  for (const other of ['"b"', 'W/"a"', 'a', 'Wed, 21 Oct 2015 07:28:00 GMT', '*', '']) {
    assert.equal(passesIfRange(other, '"a"'), false, other)
  }
})

test('If-None-Match matches any of its list, weakly', () => {
  for (const header of ['"a"', 'W/"a"', '"b", "a"', '"b",W/"a" ,"c"', '*', ' * ']) {
    assert.equal(matchesEtag(header, '"a"'), true, header)
  }
  assert.equal(matchesEtag(undefined, '"a"'), false)
  for (const header of ['', '"b"', 'a', '"a', '"aa"', '"A"']) {
    assert.equal(matchesEtag(header, '"a"'), false, header)
  }
})

function parts(...ranges: readonly (readonly [number, number])[]): Ranges {
  return { kind: 'parts', parts: ranges.map(([start, end]) => ({ start, end })) }
}

interface Spec {
  readonly first: number | undefined
  readonly last: number | undefined
}

/** RFC 9110 §14.1.2, by asking of every position whether a range selects it. */
function oracle(size: number, asked: readonly Spec[]): Ranges {
  if (size === 0 && asked.some(({ first, last }) => first === undefined && last !== 0)) return WHOLE
  const positions = Array.from({ length: size }, (_, position) => position)
  const selections = asked.map(({ first, last }) =>
    positions.filter((position) => {
      if (first === undefined) return position >= size - (last ?? 0)
      return position >= first && (last === undefined || position <= last)
    }),
  )
  const found = selections.filter((selected) => selected.length > 0)
  if (found.length === 0) return UNSATISFIABLE
  if (found.flat().length > size) return WHOLE
  return parts(...found.map((selected) => [selected[0] ?? 0, selected.at(-1) ?? 0] as const))
}
