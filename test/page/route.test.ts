import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'

import { hrefOf, imageHref, parseRoute } from '../../src/page/route.js'

/** What a browser takes for an address as it is. */
const SAFE = /^#\/[\w!'()*.~%/?=&+-]*$/

test('whatever an image is called, its link leads to it and says nothing else', () => {
  const segment = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })
  const segments = fc.array(
    segment.filter((text) => text.isWellFormed()),
    { minLength: 1 },
  )
  fc.assert(
    fc.property(segments, (path) => {
      const names = path.map((text) => text.replaceAll('/', '-'))
      const href = imageHref(names.join('/'))
      assert.match(href, SAFE)
      assert.deepEqual(parseRoute(href).path, ['images', ...names])
    }),
  )
})

test('what a query says comes back, and what is empty is left out', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (search) => {
      const { path, query } = parseRoute(hrefOf(['images'], { search, sort: '', after: undefined }))
      assert.deepEqual(path, ['images'])
      assert.equal(query.get('search') ?? '', search)
      assert.deepEqual([query.has('sort'), query.has('after')], [false, false])
    }),
  )
})

test('an address that nobody has made is read all the same', () => {
  for (const hash of ['', '#', '#/', '#//', '#/%E0%A4%A', '#/a?b?c', '#images']) parseRoute(hash)
  assert.deepEqual(parseRoute('#/%E0%A4%A').path, ['%E0%A4%A'])
})
