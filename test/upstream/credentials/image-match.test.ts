import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  compareSpecificity,
  matchesImage,
  parseImagePattern,
} from '../../../src/upstream/credentials/image-match.ts'

test("the kubelet's rules of matching", () => {
  const cases: readonly [key: string, host: string, repository: string, matches: boolean][] = [
    ['*.example.com', 'a.example.com', 'x', true],
    ['*.example.com', 'example.com', 'x', false],
    ['*.example.com', 'a.b.example.com', 'x', false],
    ['*.*.example.com', 'a.b.example.com', 'x', true],
    ['*.dkr.ecr.*.amazonaws.com', '1.dkr.ecr.us-east-1.amazonaws.com', 'x', true],
    ['prefix*.example.com', 'prefix-1.example.com', 'x', true],
    ['r?.example.com', 'r1.example.com', 'x', true],
    ['example.com:5000', 'example.com', 'x', false],
    ['example.com:5000', 'example.com:5000', 'x', true],
    ['example.com', 'example.com:5000', 'x', false],
    ['example.com/team', 'example.com', 'team-b/x', true],
    ['example.com/team/', 'example.com', 'other/x', false],
    ['example.com/team/', 'example.com', 'team/x', true],
    ['example.com/team/', 'example.com', 'team-b/x', false],
    ['https://index.docker.io/v1/', 'docker.io', 'library/nginx', true],
    ['docker.io', 'docker.io', 'library/nginx', true],
    ['https://example.com/v2/team', 'example.com', 'team/x', true],
    ['example.com/', 'example.com', 'team/x', true],
    ['EXAMPLE.com', 'example.COM', 'x', true],
    ['exampleXcom', 'example.com', 'x', false],
    ['(.*)+', 'aaaa', 'x', false],
  ]
  for (const [key, host, repository, expected] of cases) {
    const pattern = parseImagePattern(key)
    const matches = pattern !== undefined && matchesImage(pattern, host, repository)
    assert.equal(matches, expected, `${key} for ${host}/${repository}`)
  }
  assert.equal(parseImagePattern('https://'), undefined)
  assert.equal(parseImagePattern('u:p@example.com'), undefined)
})

test('the more specific comes first, with or without a scheme', () => {
  const keys = ['r.example', 'https://r.example/acme', 'r.example/acme/team', '*.example']
  const patterns = keys.map((key) => parseImagePattern(key)).filter((one) => one !== undefined)
  assert.deepEqual(
    patterns.sort(compareSpecificity).map(({ key }) => key),
    ['r.example/acme/team', 'r.example/acme', 'r.example', '*.example'],
  )
})
