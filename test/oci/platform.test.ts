import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Descriptor, Platform } from '../../src/oci/descriptor.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { chooseManifests, formatPlatform, parsePlatform } from '../../src/oci/platform.ts'

function entry(platform: string | undefined, about?: Descriptor): Descriptor {
  const parsed = platform === undefined ? undefined : parsePlatform(platform)
  return {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOf(Buffer.from(`${platform} ${about?.digest}`)),
    size: 1,
    ...(parsed === undefined ? {} : { platform: parsed }),
    ...(about === undefined
      ? {}
      : { annotations: { 'vnd.docker.reference.digest': about.digest } }),
  }
}

function platformsOf(...texts: string[]): Platform[] {
  return texts.map((text) => parsePlatform(text) ?? assert.fail(text))
}

test('a platform is read and written as people write it', () => {
  for (const text of ['linux/amd64', 'linux/arm/v7', 'windows/amd64']) {
    assert.equal(formatPlatform(parsePlatform(text) ?? assert.fail()), text)
  }
  assert.equal(formatPlatform(parsePlatform('Linux/x86_64') ?? assert.fail()), 'linux/amd64')
  assert.equal(formatPlatform(parsePlatform('linux/aarch64') ?? assert.fail()), 'linux/arm64')
  for (const text of ['', 'linux', 'linux/', '/amd64', 'linux/arm/v7/x', 'linux amd64', '../etc']) {
    assert.equal(parsePlatform(text), undefined, text)
  }
})

test('a platform without a variant means all of them, one with a variant only that', () => {
  const [v6, v7, bare] = [entry('linux/arm/v6'), entry('linux/arm/v7'), entry('linux/arm')]
  const all = [v6, v7, bare]
  assert.deepEqual(chooseManifests(all, platformsOf('linux/arm')), all)
  assert.deepEqual(chooseManifests(all, platformsOf('linux/arm/v7')), [v7, bare])
  assert.deepEqual(chooseManifests(all, platformsOf('linux/arm/v6')), [v6])
  const arm64 = entry('linux/arm64')
  assert.deepEqual(chooseManifests([arm64], platformsOf('linux/arm64/v8')), [arm64])
})

test('statements about an image go with that image, what has no platform always', () => {
  const amd = entry('linux/amd64')
  const arm = entry('linux/arm64')
  const aboutAmd = entry('unknown/unknown', amd)
  const aboutArm = entry('unknown/unknown', arm)
  const chart = entry(undefined)
  const all = [amd, arm, aboutAmd, aboutArm, chart]
  assert.deepEqual(chooseManifests(all, platformsOf('linux/amd64')), [amd, aboutAmd, chart])
  assert.deepEqual(chooseManifests(all, 'all'), all)
  assert.deepEqual(chooseManifests(all, platformsOf('linux/s390x')), [chart])
})
