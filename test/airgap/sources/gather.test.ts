import assert from 'node:assert/strict'
import { test } from 'node:test'

import { NoTextError, textOf } from '../../../src/airgap/sources/bytes.ts'
import { gather } from '../../../src/airgap/sources/gather.ts'
import type { ImageMention } from '../../../src/airgap/sources/mention.ts'
import { readSource } from '../../../src/airgap/sources.ts'
import { read } from './reading.ts'

function placeOf({ where }: ImageMention): string {
  return `${where.source}:${where.line}`
}

test('an image that several places name is there once, in the order of the first', () => {
  const other = readSource({ name: 'other', text: 'busybox\ndocker.io/library/nginx:latest\n' })
  const all = gather([read('nginx\nredis\n'), other, other])
  assert.deepEqual(
    all.images.map(({ name, mentions }) => [name, mentions.map(placeOf)]),
    [
      ['docker.io/library/nginx:latest', ['file:1', 'other:2']],
      ['docker.io/library/redis:latest', ['file:2']],
      ['docker.io/library/busybox:latest', ['other:1']],
    ],
  )
})

test('what is sure somewhere is not maybe elsewhere', () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    spec: { containers: [{ image: 'a', args: ['q.io/a/b:1', 'q.io/a/c:1'] }] },
  }
  const all = gather([read(JSON.stringify(pod)), read('q.io/a/b:1\n')])
  assert.deepEqual(
    [all.images.map(({ name }) => name), all.maybe.map(({ name }) => name)],
    [['docker.io/library/a:latest', 'q.io/a/b:1'], ['q.io/a/c:1']],
  )
})

test('platforms are put together, and one place without any means all', () => {
  const some = gather([read('a linux/amd64\na linux/arm64\nb linux/amd64\nb\n')])
  assert.deepEqual(
    some.images.map(({ platforms }) => platforms),
    [['linux/amd64', 'linux/arm64'], []],
  )
})

test('texts in UTF-8 and UTF-16 are read without their mark; archives and bytes are refused', () => {
  assert.equal(textOf(Buffer.from('\ufeffnginx')), 'nginx')
  assert.equal(textOf(Buffer.from('\ufeffnginx', 'utf16le')), 'nginx')
  assert.equal(textOf(Buffer.from('\ufeffnginx', 'utf16le').swap16()), 'nginx')
  const tar = Buffer.alloc(512)
  tar.write('ustar', 257)
  for (const archive of [
    tar,
    ...['1f8b0800', '28b52ffd00', '425a6839', '04224d1800', 'fd377a585a0000', '504b030400'].map(
      (hex) => Buffer.from(hex, 'hex'),
    ),
  ]) {
    const isRefused = (error: unknown) =>
      error instanceof NoTextError && error.message === 'this is an archive: use larder import'
    assert.throws(() => textOf(archive), isRefused)
  }
  assert.throws(() => textOf(Buffer.from('a\0b')), /this is not a text/)
  assert.throws(() => textOf(Buffer.from('ff41', 'hex')), /this is not a text in UTF-8/)
})
