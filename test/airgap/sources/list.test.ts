import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { DIGEST_A, fixture, nameOf, notes, read, readFixture, sure, textFrom } from './reading.ts'

test("k3s's list is read line by line", () => {
  const found = readFixture('k3s-images.txt')
  const expected = fixture('k3s-images.txt').trimEnd().split('\n')
  assert.deepEqual(sure(found), expected)
  assert.deepEqual(found.notes, [])
  assert.deepEqual(
    found.images.map(({ where }) => where),
    expected.map((_, index) => ({ source: 'k3s-images.txt', line: index + 1, column: 1 })),
  )
})

test('a list may have CRLF, comments, blank lines, indentation, tabs, digests and platforms', () => {
  const found = readFixture('rke2-images.txt')
  assert.deepEqual(
    found.images.map((one) => [nameOf(one), one.platform, one.where.line, one.where.column]),
    [
      ['docker.io/rancher/rke2-runtime:v1.31.4-rke2r1', undefined, 3, 1],
      ['docker.io/rancher/hardened-kubernetes:v1.31.4-rke2r1-build20241212', undefined, 4, 3],
      ['docker.io/rancher/hardened-etcd:v3.5.16-k3s1-build20241106', 'linux/amd64', 5, 1],
      [`registry.example:5000/mirror/pause:3.6@${DIGEST_A}`, undefined, 6, 1],
    ],
  )
  assert.deepEqual(found.notes, [])
})

test("kubeadm's log lines are passed over", () => {
  const found = readFixture('kubeadm-images.txt')
  assert.equal(sure(found).length, 3)
  assert.deepEqual(found.notes, [])
})

test('of source=target the source is the image', () => {
  const found = readFixture('mapping.txt')
  assert.deepEqual(sure(found), [`quay.io/acme/base@${DIGEST_A}`, 'registry.k8s.io/pause:3.10'])
  assert.deepEqual(sure(read('nginx mirror.example/nginx\n')), ['docker.io/library/nginx:latest'])
})

test('a line that is no image is an error at its place, and costs no other line', () => {
  const found = read(
    'nginx\nAcme/App:v1\n  https://ghcr.io/acme/app\nredis:7\na b c\nquay.io/a/b\n',
  )
  assert.deepEqual(sure(found), [
    'docker.io/library/nginx:latest',
    'docker.io/library/redis:7',
    'quay.io/a/b:latest',
  ])
  assert.deepEqual(notes(found), [
    'error 2:1 not an image: repositories are lower case',
    'error 3:3 not an image: leave the scheme (…://) out',
    'error 5:1 not an image such as ghcr.io/acme/app:v1',
  ])
})

test('what stands in further columns and is not known is said once', () => {
  const found = read('rancher/a:1 chart-a:1,chart-b:2\nrancher/b:1 chart-a:1,chart-b:2\n')
  assert.equal(sure(found).length, 2)
  assert.deepEqual(notes(found), [
    'note 1:1 what stands behind the image is neither a platform nor read',
  ])
})

test('prose is no list, and comments alone are an empty one', () => {
  for (const text of [
    'The quick brown fox\njumps over the lazy dog\n',
    'A\nB\n',
    '???',
    'Dear all\nHello\nA b c\nworld\n',
  ]) {
    const found = read(text)
    assert.deepEqual([found.isKnown, sure(found)], [false, []], text)
    assert.match(notes(found).join('\n'), /^error is none of what names images: a list of images,/)
  }
  for (const text of ['', '\n\n', '# nothing\n  # here\r\n', '---\n', '---\n# x\n---\n']) {
    const found = read(text)
    assert.deepEqual([found.isKnown, notes(found)], [true, ['warning names no images']], text)
  }
})

test('no text makes the reader throw, and every image is where it is said to be', () => {
  const word = fc.constantFrom(
    'nginx',
    'a/b:c',
    'ghcr.io/a/b',
    ' ',
    '#',
    '\t',
    '=',
    '\r\n',
    '\n',
    'A',
  )
  const yaml = fc.constantFrom(
    'image: ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '&a ',
    '*a',
    '<<: ',
    '"',
    '|\n',
    '---\n',
  )
  const start = fc.constantFrom('', 'apiVersion: v1\nkind: Pod\nspec:\n  ', 'services:\n  a: ')
  const joined = fc.array(fc.oneof(word, yaml), { maxLength: 30 }).map((parts) => parts.join(''))
  const text = fc
    .tuple(start, fc.oneof(fc.string({ unit: 'binary' }), joined))
    .map((all) => all.join(''))
  fc.assert(
    fc.property(text, (whole) => {
      const found = read(whole)
      for (const { raw, where } of found.images) {
        assert.ok(where.line !== undefined && where.column !== undefined)
        assert.ok(textFrom(whole, where) !== '' || raw === '')
      }
    }),
    { numRuns: 2000 },
  )
})

test('of any list with its noise around exactly the images are found, where they stand', () => {
  const image = fc.constantFrom('nginx', 'a/b:c', 'ghcr.io/a/b:v1', `localhost:5000/x@${DIGEST_A}`)
  const line = fc.oneof(
    fc.tuple(
      fc.constantFrom('', ' ', '\t'),
      image,
      fc.constantFrom('', ' ', ' # why', ' linux/arm64'),
    ),
    fc.tuple(fc.constantFrom('', '# ', '  # '), fc.constant(''), fc.constant('')),
  )
  const text = fc.tuple(fc.array(line, { minLength: 1 }), fc.constantFrom('\n', '\r\n'))
  fc.assert(
    fc.property(text, ([lines, end]) => {
      const whole = lines.map((parts) => parts.join('')).join(end)
      const found = read(whole)
      const images = lines.map(([, one]) => one).filter((one) => one !== '')
      assert.deepEqual(
        found.images.map(({ raw }) => raw),
        images,
      )
      for (const { raw, where } of found.images) {
        assert.ok(textFrom(whole, where).startsWith(raw), raw)
      }
    }),
  )
})
