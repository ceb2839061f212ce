import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import {
  ACCEPT_MANIFESTS,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  DOCKER_SCHEMA1,
  DOCKER_SCHEMA1_SIGNED,
  essence,
  isIndexType,
  isManifestType,
  isSchema1Type,
  OCI_ARTIFACT,
  OCI_INDEX,
  OCI_MANIFEST,
  OCTET_STREAM,
} from '../../src/oci/media-types.ts'

const ALL = [
  OCI_INDEX,
  DOCKER_LIST,
  OCI_MANIFEST,
  DOCKER_MANIFEST,
  OCI_ARTIFACT,
  DOCKER_SCHEMA1,
  DOCKER_SCHEMA1_SIGNED,
]

test('every type of a manifest is one, and only the two lists are indexes', () => {
  for (const type of ALL) {
    assert.ok(isManifestType(type), type)
    assert.equal(isIndexType(type), type === OCI_INDEX || type === DOCKER_LIST)
    assert.equal(isSchema1Type(type), type === DOCKER_SCHEMA1 || type === DOCKER_SCHEMA1_SIGNED)
  }
})

test('nothing else is a manifest', () => {
  const others = ['', OCTET_STREAM, 'application/json', 'toString', '__proto__', `${OCI_INDEX};a=b`]
  for (const type of [...others, OCI_INDEX.toUpperCase()]) {
    assert.equal(isManifestType(type), false, type)
  }
})

test('everything current is asked for, and schema 1 only when there is nothing else', () => {
  const asked = ACCEPT_MANIFESTS.split(', ')
  for (const type of [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT]) {
    assert.ok(asked.includes(type), type)
  }
  assert.equal(asked.at(-1), '*/*;q=0.1')
})

test('the essence of a type is in lower case and without parameters', () => {
  assert.equal(essence(`${OCI_INDEX}; charset=utf-8`), OCI_INDEX)
  assert.equal(essence(`  ${OCI_INDEX.toUpperCase()} ;a="b;c"`), OCI_INDEX)
  for (const nothing of [undefined, '', ' ', ';', ' ; a=b'])
    assert.equal(essence(nothing), undefined)
  fc.assert(
    fc.property(fc.constantFrom(...ALL), fc.string(), (type, parameters) => {
      assert.equal(essence(`${type};${parameters}`), type)
    }),
  )
})
