import assert from 'node:assert/strict'
import { test } from 'node:test'

import { parseAllDocuments } from 'yaml'

import {
  assertFenced,
  assertOneWriter,
  assertProbed,
  assertTimeToDrain,
  checkedConfig,
  hardenedContainer,
  type NetworkPolicy,
  packageVersion,
  readText,
  type StatefulSet,
} from './pod.ts'

interface Thing {
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels: Readonly<Record<string, string>>
  }
}

interface Service extends Thing {
  readonly spec: {
    readonly type?: string
    readonly clusterIP?: string
    readonly selector: Readonly<Record<string, string>>
    readonly ports: readonly { readonly name: string; readonly targetPort: string }[]
  }
}

const things = parseAllDocuments(await readText('config/kubernetes/larder.yaml')).map(
  (document) => {
    assert.deepEqual(document.errors, [])
    return document.toJS() as Thing
  },
)
const set = find<StatefulSet & Thing>('StatefulSet', 'larder')
const map = find<Thing & { readonly data: Readonly<Record<string, string>> }>('ConfigMap', 'larder')
const config = await checkedConfig(map.data['larder.yaml'] ?? '')

test('the manifest has everything in a namespace that refuses privileges', () => {
  assert.deepEqual(
    things.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
    [
      'Namespace larder',
      'ConfigMap larder',
      'StatefulSet larder',
      'Service larder',
      'Service larder-admin',
      'NetworkPolicy larder',
    ],
  )
  const [namespace, ...others] = things
  assert.equal(namespace?.metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted')
  for (const { metadata } of others) assert.equal(metadata.namespace, 'larder')
})

test('its pod has no privilege, and what its configuration says', async () => {
  const container = await hardenedContainer(set)
  assertOneWriter(set, config)
  assertProbed(container, config)
  assertTimeToDrain(set.spec.template.spec.terminationGracePeriodSeconds, config)
  assert.deepEqual(Object.keys(container.resources.requests), ['cpu', 'memory'])
  assert.deepEqual(Object.keys(container.resources.limits), ['memory'])
  assert.equal(container.image, `registry.example.com/larder:${await packageVersion()}`)
})

test('nodes reach the registry API, and the cluster alone the admin listener', () => {
  const registry = find<Service>('Service', 'larder')
  const admin = find<Service>('Service', 'larder-admin')
  assert.equal(registry.spec.type, 'NodePort')
  assert.deepEqual(
    registry.spec.ports.map(({ targetPort }) => targetPort),
    ['registry'],
  )
  assert.equal(admin.spec.clusterIP, 'None')
  assert.deepEqual(
    admin.spec.ports.map(({ targetPort }) => targetPort),
    ['admin'],
  )
  assert.equal(set.spec.serviceName, admin.metadata.name)
  const { labels } = set.spec.template.metadata
  for (const { spec } of [registry, admin]) assert.deepEqual(spec.selector, labels)
})

test('a network policy keeps it from metadata services, and strangers from its admin listener', () => {
  const policy = find<NetworkPolicy & Thing>('NetworkPolicy', 'larder')
  assertFenced(policy)
  assert.equal(policy.spec.ingress[1]?.from?.length, 2)
})

function find<T extends Thing>(kind: string, name: string): T {
  const found = things.find((thing) => thing.kind === kind && thing.metadata.name === name)
  assert.ok(found !== undefined, `${kind} ${name}`)
  return found as T
}
