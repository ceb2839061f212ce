import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'

import {
  DIGEST_A,
  FIXTURES,
  fixture,
  maybe,
  nameOf,
  notes,
  read,
  readFixture,
  sure,
  textFrom,
} from './reading.ts'

test('every image of every fixture stands where it is said to stand', () => {
  for (const { name } of readdirSync(FIXTURES, { withFileTypes: true }).filter((e) => e.isFile())) {
    const found = readFixture(name)
    assert.ok(found.isKnown && found.images.length > 0, name)
    for (const { raw, where } of found.images) {
      assert.ok(textFrom(fixture(name), where).startsWith(raw), `${name}: ${raw}`)
    }
  }
})

test('Chart.yaml names images in three annotations', () => {
  const found = readFixture('Chart.yaml')
  assert.deepEqual(
    found.images.map((one) => [nameOf(one), one.where.path]),
    [
      ['ghcr.io/acme/web:v1.2.3', 'annotations["helm.sh/images"]: [0].image'],
      ['docker.io/bitnami/redis:7.4.1', 'annotations.images: [0].image'],
      ['docker.io/bitnami/redis-exporter:1.66.0', 'annotations.images: [1].image'],
      ['quay.io/acme/operator:v1', 'annotations["artifacthub.io/images"]: [0].image'],
    ],
  )
  const bare = read('apiVersion: v2\nname: a\nversion: 1.0.0\n')
  assert.match(notes(bare).join('\n'), /^warning 1:1 no annotation names images: .*helm template/)
  const broken = read('apiVersion: v2\nname: a\nversion: 1\nannotations: {images: "a, [b"}\n')
  assert.deepEqual(notes(broken), ['error 4:23 annotations.images not a list of images'])
})

test('a lock of images, and a list that is YAML or JSON, are read', () => {
  assert.deepEqual(sure(readFixture('Images.lock')), ['docker.io/bitnami/redis:7.4.1'])
  assert.deepEqual(sure(read('["nginx", {"image": "redis:7"}]')), [
    'docker.io/library/nginx:latest',
    'docker.io/library/redis:7',
  ])
  assert.equal(read('- not an image\n').isKnown, false)
})

test('kustomize names images by what they become', () => {
  const found = readFixture('kustomization.yaml')
  assert.deepEqual(sure(found), ['docker.io/library/nginx:1.30', `ghcr.io/acme/app@${DIGEST_A}`])
  assert.deepEqual(notes(found), [
    'warning 9:5 images[2] keeps the tag of its resources: left out',
    'note 1:1 resources are not built: for them use kustomize build DIR | larder images -',
  ])
})

test("hauler's Images have a registry and a platform by default, and other kinds are told of", () => {
  const found = readFixture('hauler.yaml')
  assert.deepEqual(
    found.images.map((one) => [nameOf(one), one.platform]),
    [
      ['ghcr.io/acme/web:v1', 'linux/amd64'],
      ['quay.io/acme/agent:v2', 'linux/arm64'],
    ],
  )
  assert.deepEqual(notes(found), ['warning 14:1 what is of kind Charts is not read'])
})

test("zarf's components name images, for the architecture of each", () => {
  const found = readFixture('zarf.yaml')
  assert.deepEqual(
    found.images.map((one) => [nameOf(one), one.platform]),
    [
      ['ghcr.io/acme/web:v1', 'linux/arm64'],
      ['docker.io/library/redis:7', 'linux/amd64'],
    ],
  )
  assert.deepEqual(notes(found), [
    'error 10:9 components[0].images[1] a variable that zarf fills in: write the image out',
    'warning 15:13 components[2].import a component of another package is not read',
  ])
})

test('of oc-mirror only additionalImages are read', () => {
  const found = readFixture('imageset.yaml')
  assert.deepEqual(sure(found), [
    'registry.redhat.io/ubi9/ubi:latest',
    `quay.io/acme/tool@${DIGEST_A}`,
  ])
  assert.deepEqual(notes(found), [
    'warning 5:5 mirror.platform not read: only additionalImages is',
    'warning 7:5 mirror.operators not read: only additionalImages is',
  ])
})

test('skopeo sync names tags and digests; rules are told of, passwords never', () => {
  const found = readFixture('skopeo-sync.yaml')
  assert.deepEqual(sure(found), [
    'registry.example:5000/acme/web:v1',
    'registry.example:5000/acme/web:1.20',
    `registry.example:5000/acme/web@${DIGEST_A}`,
  ])
  assert.deepEqual(
    notes(found).map((note) => note.split(' ')[0]),
    ['warning', 'warning'],
  )
  assert.doesNotMatch(JSON.stringify(found), /hunter2/)
})

test('regsync names images and plain tags; patterns and registries are told of', () => {
  const found = readFixture('regsync.yaml')
  assert.deepEqual(
    found.images.map((one) => [nameOf(one), one.platform]),
    [
      ['docker.io/library/busybox:1.36', 'linux/amd64'],
      ['quay.io/acme/agent:latest', undefined],
    ],
  )
  assert.deepEqual(notes(found), [
    'warning 15:25 sync[1].tags.allow[1] tags by a pattern are not read: list them',
    'warning 16:13 sync[2].source a whole registry is not read: list the images',
  ])
  assert.doesNotMatch(JSON.stringify(found), /hunter2/)
  assert.deepEqual(maybe(found), [])
})
