/** The chart with values as people set them: what comes of it, as Kubernetes would read it. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { parse } from 'yaml'

import { ChartTemplates } from './chart-template.ts'
import {
  assertFenced,
  hardenedContainer,
  type NetworkPolicy,
  ROOT,
  readText,
  readYaml,
  type StatefulSet,
} from './pod.ts'

type Tree = { readonly [key: string]: unknown }

const CHART = 'config/helm/larder'
const defaults = (await readYaml(`${CHART}/values.yaml`)) as Tree
const chart = (await readYaml(`${CHART}/Chart.yaml`)) as Tree
const helpers = await readText(`${CHART}/templates/_helpers.tpl`)
const names = (await readdir(join(ROOT, CHART, 'templates'))).filter(
  (name) => name !== '_helpers.tpl',
)
const templates = new Map(
  await Promise.all(
    names.map(async (name) => [name, await readText(`${CHART}/templates/${name}`)] as const),
  ),
)
const files = new Map(
  await Promise.all(
    ['files/rules.yaml', 'files/dashboard.json'].map(
      async (name) => [name, await readText(`${CHART}/${name}`)] as const,
    ),
  ),
)

interface Manifest extends Tree {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> }
  readonly spec: Tree
}

/** What `helm template release chart --set …` gives, by kind and name; notes are apart. */
function render(values: Tree = {}, release = 'my-larder') {
  const merged = merge(
    merge(defaults, { image: { repository: 'registry.example/larder' } }),
    values,
  )
  const { name: Name, version: Version, appVersion: AppVersion } = chart
  const rendered = new ChartTemplates(helpers, {
    Values: merged,
    Chart: { Name, Version, AppVersion },
    Release: { Name: release, Namespace: 'cache', Service: 'Helm' },
    files,
  })
  const manifests = new Map<string, Manifest>()
  for (const [name, template] of templates) {
    if (!name.endsWith('.yaml')) continue
    const manifest = parse(rendered.render(template)) as Manifest | null
    if (manifest !== null) manifests.set(`${manifest.kind} ${manifest.metadata.name}`, manifest)
  }
  return { manifests, notes: rendered.render(templates.get('NOTES.txt') ?? '') }
}

function specOf(manifests: ReadonlyMap<string, Manifest>, name: string): Tree {
  const manifest = manifests.get(name)
  assert.ok(manifest, name)
  return manifest.spec
}

function merge(one: Tree, other: Tree): Tree {
  const merged: Record<string, unknown> = { ...one }
  for (const [key, value] of Object.entries(other)) {
    const known = merged[key]
    merged[key] = isTree(known) && isTree(value) ? merge(known, value) : value
  }
  return merged
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const USUAL = [
  'ConfigMap my-larder',
  'NetworkPolicy my-larder',
  'Service my-larder',
  'Service my-larder-admin',
  'StatefulSet my-larder',
]

test('with an image alone it is a whole Larder, and every part knows the others', async () => {
  const { manifests, notes } = render()
  assert.deepEqual([...manifests.keys()].sort(), USUAL)
  const set = manifests.get('StatefulSet my-larder') as unknown as StatefulSet & Manifest
  await hardenedContainer(set)
  const [container] = set.spec.template.spec.containers as unknown as readonly Tree[]
  assert.equal(container?.['image'], `registry.example/larder:${chart['appVersion']}`)
  const { labels } = set.spec.template.metadata as unknown as Manifest['metadata']
  for (const name of ['Service my-larder', 'Service my-larder-admin']) {
    const { selector } = specOf(manifests, name) as { selector: Readonly<Record<string, string>> }
    assert.ok(Object.keys(selector).length > 0)
    for (const [key, value] of Object.entries(selector)) assert.equal(labels[key], value)
  }
  assert.equal((set.spec as unknown as Tree)['serviceName'], 'my-larder-admin')
  assertFenced(manifests.get('NetworkPolicy my-larder') as unknown as NetworkPolicy)
  const config = (manifests.get('ConfigMap my-larder') as Tree)['data'] as Readonly<
    Record<string, string>
  >
  assert.deepEqual(parse(config['larder.yaml'] ?? ''), defaults['config'])
  assert.match(notes, /get service my-larder -o jsonpath/)
  for (const { metadata } of manifests.values()) {
    assert.equal(metadata.labels['app.kubernetes.io/version'], chart['appVersion'])
  }
})

test('without an image it says what is missing', () => {
  assert.throws(() => render({ image: { repository: '' } }), /image\.repository has to say where/)
})

test('everything that can be asked for is there, and is YAML that keeps what was said', () => {
  const { manifests } = render({
    image: { digest: `sha256:${'a'.repeat(64)}` },
    imagePullSecrets: [{ name: 'pull' }],
    existingSecrets: ['hub', 'admin-token'],
    hostPort: 5000,
    persistence: { existingClaim: 'my-claim' },
    service: {
      annotations: { 'example.com/a': 'yes' },
      loadBalancerSourceRanges: ['10.0.0.0/8'],
      type: 'LoadBalancer',
    },
    podAnnotations: { a: 'true' },
    podLabels: { team: 'infra' },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'dedicated', operator: 'Exists' }],
    affinity: { nodeAffinity: { x: [1] } },
    priorityClassName: 'system-cluster-critical',
    env: [{ name: 'LARDER__LOG__LEVEL', value: 'debug' }],
    volumes: [{ name: 'extra', emptyDir: {} }],
    volumeMounts: [{ name: 'extra', mountPath: '/extra' }],
    networkPolicy: {
      registryFrom: [{ ipBlock: { cidr: '10.0.0.0/8' } }],
      registryPorts: [443, 5000],
      extraEgress: [{ to: [{ podSelector: {} }] }],
    },
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
    prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
    dashboard: { enabled: true, annotations: { folder: 'caches' } },
  })
  assert.deepEqual(
    [...manifests.keys()].sort(),
    [
      ...USUAL,
      'ConfigMap my-larder-dashboard',
      'PrometheusRule my-larder',
      'ServiceMonitor my-larder',
    ].sort(),
  )
  const set = specOf(manifests, 'StatefulSet my-larder') as Tree
  assert.equal(set['volumeClaimTemplates'], undefined)
  const { metadata, spec: pod } = set['template'] as { metadata: Tree; spec: Tree }
  assert.deepEqual(metadata['annotations'], { a: 'true' })
  assert.equal((metadata['labels'] as Tree)['team'], 'infra')
  assert.deepEqual(pod['tolerations'], [{ key: 'dedicated', operator: 'Exists' }])
  assert.deepEqual(pod['nodeSelector'], { disk: 'ssd' })
  assert.deepEqual(pod['affinity'], { nodeAffinity: { x: [1] } })
  assert.deepEqual(pod['imagePullSecrets'], [{ name: 'pull' }])
  assert.equal(pod['priorityClassName'], 'system-cluster-critical')
  const [container] = pod['containers'] as readonly Tree[]
  assert.match(String(container?.['image']), /^registry\.example\/larder@sha256:a{64}$/)
  assert.deepEqual(container?.['env'], [{ name: 'LARDER__LOG__LEVEL', value: 'debug' }])
  assert.ok(container)
  const [registry, admin] = container['ports'] as readonly Tree[]
  assert.deepEqual([registry?.['hostPort'], admin?.['hostPort']], [5000, undefined])
  const mounts = container?.['volumeMounts'] as readonly { name: string; mountPath: string }[]
  const volumes = pod['volumes'] as readonly Tree[]
  assert.deepEqual(
    mounts.map(({ mountPath }) => mountPath),
    ['/var/lib/larder', '/etc/larder', '/run/secrets/hub', '/run/secrets/admin-token', '/extra'],
  )
  const named = volumes.map((volume) => volume['name'])
  for (const { name } of mounts) assert.ok(named.includes(name), `${name} is a volume`)
  assert.deepEqual(
    volumes
      .filter((volume) => volume['secret'] !== undefined)
      .map(({ secret }) => (secret as Tree)['secretName']),
    ['hub', 'admin-token'],
  )
  const rules = manifests.get('PrometheusRule my-larder')?.spec
  assert.deepEqual(rules, parse(files.get('files/rules.yaml') ?? ''))
  const { data } = manifests.get('ConfigMap my-larder-dashboard') as unknown as { data: Tree }
  assert.deepEqual(
    JSON.parse(String(data['larder.json'])),
    JSON.parse(files.get('files/dashboard.json') ?? ''),
  )
  const policy = specOf(manifests, 'NetworkPolicy my-larder') as {
    ingress: readonly Tree[]
    egress: readonly Tree[]
  }
  assert.deepEqual(policy.ingress[0]?.['from'], [{ ipBlock: { cidr: '10.0.0.0/8' } }])
  assert.deepEqual(policy.egress[1]?.['ports'], [{ port: 443 }, { port: 5000 }])
  assert.deepEqual(policy.egress[2], { to: [{ podSelector: {} }] })
  const service = manifests.get('Service my-larder')?.spec
  assert.deepEqual(service?.['loadBalancerSourceRanges'], ['10.0.0.0/8'])
  const monitor = manifests.get('ServiceMonitor my-larder')
  assert.equal(monitor?.metadata.labels['release'], 'prometheus')
})

test('the admin listener is for nobody, where nobody is named', () => {
  const { manifests } = render({ networkPolicy: { adminFrom: [] } })
  const policy = specOf(manifests, 'NetworkPolicy my-larder') as { ingress: readonly Tree[] }
  assert.equal(policy.ingress.length, 1)
  assert.ok(!render({ networkPolicy: { enabled: false } }).manifests.has('NetworkPolicy my-larder'))
})

test('a service within the cluster has no port of the nodes, and its notes say who reaches it', () => {
  const { manifests, notes } = render({ service: { type: 'ClusterIP' } }, 'cache')
  const [port] = specOf(manifests, 'Service cache-larder')['ports'] as readonly Tree[]
  assert.equal(port?.['nodePort'], undefined)
  assert.match(notes, /Nodes reach the address of the service cache-larder/)
  assert.match(render({ hostPort: 5001 }).notes, /http:\/\/<node>:5001/)
  assert.match(render({ service: { type: 'LoadBalancer' } }).notes, /external address/)
  assert.ok(render({ fullnameOverride: 'x'.repeat(60) }).manifests.has(`Service ${'x'.repeat(48)}`))
})
