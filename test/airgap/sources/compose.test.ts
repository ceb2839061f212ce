// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes variables so.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { parseDotEnv } from '../../../src/airgap/sources/dot-env.ts'
import { interpolate } from '../../../src/airgap/sources/interpolation.ts'
import { fixture, nameOf, notes, read, sure, textFrom } from './reading.ts'

const FILE = 'compose/compose.yaml'

test('a Compose file is read with the .env beside it', () => {
  const found = read(fixture(FILE), fixture('compose/.env'))
  assert.deepEqual(
    found.images.map((one) => [nameOf(one), one.platform, one.where.path]),
    [
      ['ghcr.io/acme/web:v1.2.3', 'linux/arm64', 'services.web.image'],
      ['docker.io/library/nginx:1.27', undefined, 'services.proxy.image'],
      ['docker.io/library/postgres:16', undefined, 'services.db.image'],
      ['quay.io/acme/nested:v2', undefined, 'services.nested.image'],
      ['ghcr.io/acme/common:v1', undefined, 'services.worker.image'],
      ['docker.io/library/redis:latest', undefined, 'services.own.image'],
      ['docker.io/library/alpine:latest', undefined, 'services.plugin.image'],
      ['ghcr.io/acme/data:v3', undefined, 'services.plugin.volumes[0].source'],
    ],
  )
  for (const { raw, where } of found.images) {
    assert.ok(textFrom(fixture(FILE), where).startsWith(raw), raw)
  }
  assert.deepEqual(notes(found), [
    'note 23:5 services.built is built and has no image: left out',
    'note 25:5 services.always is always built: left out',
  ])
})

test('a variable that nothing sets is an error where there is no image without it', () => {
  const found = read(fixture(FILE))
  assert.equal(sure(found).length, 6)
  assert.deepEqual(notes(found).slice(0, 2), [
    'error 7:12 services.web.image WEB_TAG: not set in the .env beside it, and no default',
    'error 13:12 services.db.image DB_IMAGE: not set in the .env beside it, and no default',
  ])
  const empty = read(
    'services: {a: {image: "nginx$NOTHING"}, b: {image: "nginx:$EMPTY"}}',
    'EMPTY=',
  )
  assert.deepEqual(sure(empty), ['docker.io/library/nginx:latest'])
  assert.deepEqual(notes(empty), [
    'warning 1:23 services.a.image NOTHING: not set, taken for nothing',
    'error 1:52 services.b.image no image once its variables are filled in',
  ])
  const wrong = read('services: {a: {image: "nginx:${A"}}')
  assert.match(notes(wrong).join(), /a variable that is not written as \$NAME or in braces/)
})

test('other files and services are told of, not followed', () => {
  const found = read(
    'include: [other.yaml]\nservices:\n  a: {extends: {service: b}}\n  b: {image: x}\n',
  )
  assert.deepEqual(notes(found), [
    'warning 1:10 include included files are not read: name them, too',
    'warning 3:6 services.a takes its image from another service',
  ])
  const reset = read('services:\n  a: {build: ., image: !reset null}\n  b: !override {image: x}\n')
  assert.deepEqual(notes(reset), ['note 2:6 services.a is built and has no image: left out'])
})

test("a chart's values are no Compose file", () => {
  const values = read('services:\n  web: {image: {repository: acme/web, tag: v1}}\n')
  assert.deepEqual([values.isKnown, values.images], [false, []])
})

test('variables are filled in as Compose does it', () => {
  const variables = new Map([
    ['A', 'a'],
    ['E', ''],
  ])
  for (const [text, expected] of [
    ['$A', 'a'],
    ['${A}', 'a'],
    ['$A-$A', 'a-a'],
    ['$$A', '$A'],
    ['$$${A}', '$a'],
    ['${A:-d}', 'a'],
    ['${E:-d}', 'd'],
    ['${E-d}', ''],
    ['${U-d}', 'd'],
    ['${U:-${E:-${A}}}', 'a'],
    ['${A:+yes}', 'yes'],
    ['${E:+yes}', ''],
    ['${E+yes}', 'yes'],
    ['${U+yes}', ''],
    ['${A:?no}', 'a'],
    ['${U:-}', ''],
    ['x', 'x'],
  ] as const) {
    assert.deepEqual(interpolate(text, variables), { text: expected, unset: [], missing: [] }, text)
  }
  assert.deepEqual(interpolate('$U${U}', variables), { text: '', unset: ['U', 'U'], missing: [] })
  assert.deepEqual(interpolate('${E:?say}', variables), { text: '', unset: [], missing: ['E'] })
  assert.deepEqual(interpolate('${E?say}', variables), { text: '', unset: [], missing: [] })
  for (const text of ['${', '${}', '${1}', '$', '$1', '${A!}', '${A', '${U:-${A}']) {
    assert.equal(interpolate(text, variables), undefined, text)
  }
})

test('no text makes the interpolation throw', () => {
  const piece = fc.constantFrom('$', '{', '}', 'A', ':-', ':?', '+', '-', '${A:-', ' ')
  const text = fc.array(piece, { maxLength: 60 }).map((parts) => parts.join(''))
  fc.assert(fc.property(text, (one) => void interpolate(one, new Map([['A', 'a']]))))
})

test('a .env file has comments, quotes and export', () => {
  const text =
    'A=1\r\n# B=2\nexport C = 3 # c\nD="4 # d" # e\nE=\'5\'\nF=\nnothing\n G=a=b\nH=x#y\n'
  assert.deepEqual(Object.fromEntries(parseDotEnv(text)), {
    A: '1',
    C: '3',
    D: '4 # d',
    E: '5',
    F: '',
    G: 'a=b',
    H: 'x#y',
  })
})
