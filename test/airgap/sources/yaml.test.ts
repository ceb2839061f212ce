import assert from 'node:assert/strict'
import { test } from 'node:test'

import { maybe, notes, read, sure } from './reading.ts'

const POD = 'apiVersion: v1\nkind: Pod\nspec: {containers: [{image: "a:1"}]}\n'
const TEMPLATE =
  'an unrendered template ({{ … }}): render it first: helm template NAME CHART | larder images -'

test('what is not YAML is an error at its line and column, and costs no other document', () => {
  const found = read(`${POD}---\nkind: x\n\tb: 1\n---\n${POD}`)
  assert.deepEqual(sure(found), ['docker.io/library/a:1', 'docker.io/library/a:1'])
  assert.deepEqual(notes(found), ['error 6:1 not YAML: tab as indent'])
})

test('an unrendered template is named as one, where it stands', () => {
  for (const [text, place] of [
    ['{{- if .Values.on }}\nkind: x\n{{- end }}\n', '1:1'],
    ['kind: x\nspec:\n  image: {{ .Values.image }}\n', '3:10'],
    ['kind: x\nmetadata:\n  {{- include "labels" . | nindent 4 }}\nspec: {}\n', '3:3'],
  ] as const) {
    assert.deepEqual(notes(read(text)), [`error ${place} ${TEMPLATE}`], text)
  }
})

test('braces of other templates in a text are no fault', () => {
  const text = 'apiVersion: v1\nkind: ConfigMap\ndata:\n  rules: "{{ $labels.pod }} is down"\n'
  assert.deepEqual(notes(read(text)), ['warning names no images'])
})

test('a key that is there twice and an unknown tag are warnings', () => {
  const found = read(
    'apiVersion: v1\nkind: Pod\nspec: !mine\n  containers:\n    - image: a:1\n      image: b:1\n',
  )
  assert.deepEqual(sure(found), ['docker.io/library/b:1'])
  assert.deepEqual(notes(found), [
    'warning 3:7 a tag (!name) that is not known',
    'warning 6:7 this key is there twice: the last one counts',
  ])
})

test('anchors, aliases and merge keys are followed', () => {
  const found = read(`apiVersion: v1
kind: Pod
spec:
  initContainers: [&i {image: &n "nginx:1.27", command: [x]}]
  containers:
    - {<<: *i, image: redis}
    - {<<: [*i, {image: never}], name: b}
    - {image: *n}
`)
  assert.deepEqual(
    [...new Set(sure(found))],
    ['docker.io/library/nginx:1.27', 'docker.io/library/redis:latest'],
  )
})

test('aliases that would unfold into gigabytes cost nothing', () => {
  const names = [...'bcdefghijklmnopqrstuvwxyz']
  const levels = names.map((name, index) => {
    const before = String.fromCharCode('a'.charCodeAt(0) + index)
    return `  ${name}: &${name} [${Array(9).fill(`*${before}`).join(', ')}]`
  })
  const text = `apiVersion: x/v1\nkind: X\nspec:\n  a: &a [{image: "q.io/a/b:1"}]\n${levels.join('\n')}\n`
  const started = performance.now()
  assert.deepEqual(sure(read(text)), ['q.io/a/b:1'])
  assert.ok(performance.now() - started < 2000)
})

test('chained merge keys, bottomless nesting and aliases of nothing are errors', () => {
  const merges = Array.from(
    { length: 600 },
    (_, i) => `m${i + 1}: &m${i + 1}\n  <<: *m${i}\n  k${i}: v`,
  )
  const cases = [
    [`m0: &m0 {k: v}\n${merges.join('\n')}`, /more than 100000 values by merge keys/],
    [`a: ${'['.repeat(20_000)}`, /nested too deep/],
    [`a: ${'{a: '.repeat(300)}${'}'.repeat(300)}`, /nested too deep/],
    [`${'- '.repeat(5000)}a`, /nested too deep/],
    ['a: *nothing', /alias \(\*name\) without its anchor/],
    ['a: &a {b: *a}', /alias \(\*name\) without its anchor/],
    ['{[a]: b}', /a key has to be a plain text/],
  ] as const
  for (const [text, message] of cases) {
    const [note = '', ...more] = notes(read(text))
    assert.match(note, message)
    assert.match(note, /^error \d+:\d+ /)
    assert.deepEqual(more, [])
  }
})

test('a document of no known form is an error alone, and a warning among others', () => {
  const values = 'image:\n  repository: nginx\n  tag: "1"\n'
  const alone = read(values)
  assert.deepEqual([alone.isKnown, sure(alone), maybe(alone)], [false, [], []])
  assert.match(notes(alone).join('\n'), /^error is none of what names images: .*helm template/)
  const among = read(`${POD}---\n${values}`)
  assert.deepEqual(notes(among), ['warning 5:1 this document is of no known form'])
})
