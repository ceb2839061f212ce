// No Helm is needed: a template without its actions is YAML, and shows everything that does not depend
// on values; what does is followed from the values to the actions that read them.
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { parse, stringify } from 'yaml'
import * as z from 'zod'

import {
  assertFenced,
  assertOneWriter,
  assertProbed,
  assertTimeToDrain,
  checkedConfig,
  hardenedContainer,
  type NetworkPolicy,
  packageVersion,
  ROOT,
  readText,
  readYaml,
  type StatefulSet,
} from './pod.ts'

type Tree = { readonly [key: string]: unknown }

interface Schema {
  readonly additionalProperties?: unknown
  readonly properties?: Readonly<Record<string, Schema>>
}

const CHART = 'config/helm/larder'
/** What the chart carries of others, as Helm reads nothing outside of a chart. */
const COPIES = [
  ['config/prometheus/rules.yaml', `${CHART}/files/rules.yaml`],
  ['config/grafana/dashboards/larder.json', `${CHART}/files/dashboard.json`],
] as const

const values = (await readYaml(`${CHART}/values.yaml`)) as Tree & {
  readonly config: Tree
  readonly terminationGracePeriodSeconds: number
  readonly resources: unknown
}
const schema = JSON.parse(await readText(`${CHART}/values.schema.json`)) as Schema &
  z.core.JSONSchema.JSONSchema
const names = await readdir(join(ROOT, CHART, 'templates'))
const templates = new Map(
  await Promise.all(
    names.map(async (name) => [name, await readText(`${CHART}/templates/${name}`)] as const),
  ),
)
const config = await checkedConfig(stringify(values.config))

test('the chart has the version of the program', async () => {
  const chart = (await readYaml(`${CHART}/Chart.yaml`)) as Tree
  const version = await packageVersion()
  assert.equal(chart['version'], version)
  assert.equal(chart['appVersion'], version)
})

test('its rules and its dashboard are those that Larder is tested with', async () => {
  for (const [original, copy] of COPIES) {
    const isSame = (await readText(original)) === (await readText(copy))
    assert.ok(isSame, `the chart has another one: cp ${original} ${copy}`)
  }
  const all = [...templates.values()].join('')
  const read = [...all.matchAll(/\.Files\.Get "([^"]+)"/g)].map(([, file]) => `${CHART}/${file}`)
  assert.deepEqual(read.sort(), COPIES.map(([, copy]) => copy).sort())
})

test('templates read values that there are, and there is none that they do not read', () => {
  const read = new Set(
    [...templates.values()].flatMap((text) =>
      [...text.matchAll(/\.Values((?:\.\w+)+)/g)].map(([, path = '']) => path.slice(1)),
    ),
  )
  assert.ok(read.size > 20)
  for (const path of read) assert.notEqual(valueAt(path), undefined, `.Values.${path}`)
  const unread = leavesOf(values).filter(
    (leaf) => ![...read].some((path) => leaf === path || leaf.startsWith(`${path}.`)),
  )
  assert.deepEqual(unread, [])
})

test('templates include what is defined', () => {
  const all = [...templates.values()].join('')
  const defined = new Set([...all.matchAll(/define "([^"]+)"/g)].map(([, name]) => name))
  const included = [...all.matchAll(/include "([^"]+)"/g)].map(([, name]) => name)
  assert.deepEqual(new Set(included), defined)
})

test('every block that a template opens is closed, and every action ends', () => {
  for (const [name, text] of templates) {
    const opened = text.match(/\{\{-? (?:if|with|range|define) /g)?.length ?? 0
    const closed = text.match(/\{\{-? end -?\}\}/g)?.length ?? 0
    assert.equal(opened, closed, name)
    assert.doesNotMatch(withoutActions(text), /\{\{|\}\}/, name)
  }
})

test('the schema knows each value, no other, and accepts those of the chart', () => {
  const check = z.fromJSONSchema(schema)
  assert.deepEqual(check.safeParse(values).error?.issues, undefined)
  assertSameKeys(values, schema, '')
})

test('the schema refuses what would not fit the templates', () => {
  const check = z.fromJSONSchema(schema)
  const wrong: readonly Tree[] = [
    { replicas: 2 },
    { hostPort: 70_000 },
    { existingSecrets: ['/etc'] },
    { service: { type: 'ExternalName' } },
    { persistence: { accessMode: 'ReadWriteMany' } },
    { networkPolicy: { registryPorts: [] } },
    { image: { pullPolicy: 'Often' } },
    { config: { ...values.config, storage: { path: '/data' } } },
    { config: { ...values.config, server: { listen: '127.0.0.1:5000', adminListen: ':9090' } } },
  ]
  for (const value of wrong) {
    const result = check.safeParse({ ...values, ...value })
    assert.equal(result.success, false, JSON.stringify(value))
  }
})

test('the pod has no privilege, and what the configuration of the chart says', async () => {
  const set = skeletonOf('statefulset.yaml') as StatefulSet
  const container = await hardenedContainer(set)
  assertOneWriter(set, config)
  assertProbed(container, config)
  assertTimeToDrain(values.terminationGracePeriodSeconds, config)
  const secret = container.volumeMounts.find(({ mountPath }) => mountPath === '/run/secrets/x')
  assert.equal(secret?.readOnly, true)
})

test('it is run as the plain manifest runs it', async () => {
  const [, , text = ''] = (await readText('config/kubernetes/larder.yaml')).split('\n---\n')
  const plain = parse(text) as StatefulSet
  const chart = skeletonOf('statefulset.yaml') as StatefulSet
  const [ours, theirs] = [chart, plain].map((set) => set.spec.template.spec.containers[0])
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const) {
    assert.deepEqual(ours?.[probe], theirs?.[probe])
  }
  assert.deepEqual(values.resources, theirs?.resources)
  const grace = plain.spec.template.spec.terminationGracePeriodSeconds
  assert.equal(values.terminationGracePeriodSeconds, grace)
})

test('a network policy keeps it from metadata services, and strangers from its admin listener', () => {
  assertFenced(skeletonOf('networkpolicy.yaml') as NetworkPolicy)
  assert.equal(valueAt('networkPolicy.enabled'), true)
  // An empty list of callers would let in everyone, so that the rule has to go with it.
  assert.match(
    templates.get('networkpolicy.yaml') ?? '',
    /with \.Values\.networkPolicy\.adminFrom \}\}\n +- ports/,
  )
})

test('nodes get a port for the registry API alone', () => {
  const [registry, admin] = ['service.yaml', 'service-admin.yaml'].map(
    (name) => skeletonOf(name) as { spec: Tree & { ports: readonly Tree[] } },
  )
  assert.deepEqual(
    registry?.spec.ports.map(({ targetPort }) => targetPort),
    ['registry'],
  )
  assert.equal(admin?.spec['clusterIP'], 'None')
  assert.deepEqual(admin?.spec.ports, [{ name: 'admin', port: 9090, targetPort: 'admin' }])
})

test('Prometheus finds the admin service, under a job that the alerts know', () => {
  const monitor = skeletonOf('servicemonitor.yaml') as { spec: Tree }
  assert.equal(monitor.spec['jobLabel'], 'app.kubernetes.io/name')
  assert.match(templates.get('_helpers.tpl') ?? '', /^app\.kubernetes\.io\/name: larder$/m)
  for (const name of ['servicemonitor.yaml', 'service-admin.yaml']) {
    assert.match(templates.get(name) ?? '', /app\.kubernetes\.io\/component: admin/, name)
  }
  for (const name of ['serviceMonitor', 'prometheusRule', 'dashboard']) {
    assert.equal(valueAt(`${name}.enabled`), false, name)
  }
})

test('the values that its documentation shows are accepted, and so is the configuration in them', async () => {
  const [, example = ''] = /```yaml\n([^`]+)```/.exec(await readText(`${CHART}/README.md`)) ?? []
  const shown = parse(example) as { config: Tree; existingSecrets: readonly string[] }
  assert.deepEqual(
    leavesOf(shown).filter((leaf) => !isKnown(leaf)),
    [],
  )
  await checkedConfig(stringify({ ...values.config, ...shown.config }))
  const files = stringify(shown.config).matchAll(/\/run\/secrets\/([\w-]+)/g)
  assert.deepEqual(
    [...files].map(([, name]) => name),
    shown.existingSecrets,
  )
})

/** Whether `values.yaml` has that key; below the configuration and labels are others'. */
function isKnown(leaf: string): boolean {
  return /^config\.|\.labels\./.test(leaf) || valueAt(leaf) !== undefined
}

/** The YAML that is left of a template; of a condition all branches, of a loop one turn. */
function skeletonOf(name: string): unknown {
  return parse(withoutActions(templates.get(name) ?? ''))
}

function withoutActions(text: string): string {
  return text
    .replace(/^\s*\{\{(?:(?!\}\}).)*\}\}\n/gm, '')
    .replace(/\{\{(?:(?!\}\})[\s\S])*\}\}/g, 'x')
}

function valueAt(path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((value, key) => (isTree(value) ? value[key] : undefined), values)
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function leavesOf(tree: Tree, prefix = ''): readonly string[] {
  return Object.entries(tree).flatMap(([key, value]) =>
    isTree(value) && Object.keys(value).length > 0
      ? leavesOf(value, `${prefix}${key}.`)
      : [`${prefix}${key}`],
  )
}

/** Where the schema allows no other keys, those that it has are those that there are. */
function assertSameKeys(
  value: unknown,
  { additionalProperties, properties }: Schema,
  path: string,
) {
  if (additionalProperties !== false) return
  assert.ok(isTree(value), path)
  const known = Object.keys(properties ?? {}).filter((key) => key !== 'global')
  assert.deepEqual(known.sort(), Object.keys(value).sort(), path)
  for (const key of known) assertSameKeys(value[key], properties?.[key] ?? {}, `${path}.${key}`)
}
