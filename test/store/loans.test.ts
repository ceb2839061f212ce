import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Loans } from '../../src/store/loans.ts'

test('what the cache keeps costs nothing, and what it drops costs once, until the last reader ends', () => {
  const loans = new Loans(100)
  const buffer = Buffer.alloc(60)
  loans.cached(buffer)
  const ends = [loans.lend(buffer), loans.lend(buffer)]
  assert.equal(loans.bytes, 0)
  loans.uncached(buffer)
  assert.equal(loans.bytes, 60)
  assert.equal(loans.isPlenty, false)
  loans.cached(buffer)
  assert.equal(loans.bytes, 0)
  loans.uncached(buffer)
  for (const end of ends) {
    assert.equal(loans.bytes, 60)
    end()
    end()
  }
  assert.equal(loans.bytes, 0)
  assert.equal(loans.isPlenty, true)
})

test('the more is held, the smaller are the pieces', () => {
  const loans = new Loans(100)
  const first = loans.reserve(60)
  const frugal = loans.pieceBytes
  const second = loans.reserve(60)
  assert.ok(loans.pieceBytes < frugal)
  second()
  assert.equal(loans.pieceBytes, frugal)
  first()
  assert.equal(loans.bytes, 0)
})
