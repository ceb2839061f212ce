import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { parse } from 'yaml'

import { Metrics } from '../../src/metrics.ts'
import { expressionsOf, namesIn, readDashboard, readRules } from '../support/monitoring.ts'

interface PromtoolTest {
  readonly alert_rule_test?: readonly {
    readonly alertname: string
    readonly exp_alerts: readonly unknown[]
  }[]
}

const CONFIG = join(import.meta.dirname, '../../config')
/** Prometheus makes it itself, for every target. */
const OF_PROMETHEUS = 'up'

const rules = await readRules()
const dashboard = await readDashboard()
const exposed = await new Metrics({ version: '0.0.0-test' }, ['docker.io']).render()

test('the rules read metrics that Larder has, and what they record themselves', () => {
  const recorded = rules.flatMap(({ record }) => record ?? [])
  const known = new Set([...namesOf(exposed), ...recorded, OF_PROMETHEUS])
  for (const { expr } of rules) assertKnown(expr, known)
  assert.ok(rules.length > 10)
})

test('the dashboard reads metrics that Larder has', () => {
  const known = namesOf(exposed)
  const expressions = expressionsOf(dashboard)
  for (const expression of expressions) assertKnown(expression, known)
  assert.ok(expressions.length > 20)
  const queries = dashboard.templating.list.flatMap(({ query }) => query.query ?? [])
  const variables = queries.map((query) => /^label_values\((\w+)/.exec(query)?.[1])
  assert.deepEqual(
    variables.filter((name) => !known.has(name ?? '')),
    [],
  )
})

test('rules and dashboard ask for results that there are', () => {
  const results = new Set([...exposed.matchAll(/result="(\w+)"/g)].map(([, result]) => result))
  const expressions = [...rules.map(({ expr }) => expr), ...expressionsOf(dashboard)]
  const asked = expressions.flatMap((expression) =>
    [...expression.matchAll(/result(?:=|!=|=~|!~)"([\w|]+)"/g)].flatMap(
      ([, text]) => text?.split('|') ?? [],
    ),
  )
  assert.ok(asked.includes('stale'))
  assert.deepEqual(
    asked.filter((result) => !results.has(result)),
    [],
  )
})

test('every alert says how bad it is, what is the matter and what to do', () => {
  for (const { alert, labels, annotations } of rules) {
    if (alert === undefined) continue
    assert.match(labels?.['severity'] ?? '', /^(critical|warning|info)$/, alert)
    assert.match(annotations?.['summary'] ?? '', /^.{10,120}$/, alert)
    assert.match(annotations?.['description'] ?? '', /^.{10,300}$/, alert)
  }
})

test('every alert has a section that says what to do, and no section is of an alert that is gone', async () => {
  const alerts = rules.flatMap(({ alert }) => alert ?? [])
  const text = await readFile(join(CONFIG, 'prometheus/README.md'), 'utf8')
  const [, ...sections] = text.split(/^## /m)
  assert.deepEqual(sections.map((one) => one.split('\n')[0]).toSorted(), alerts.toSorted())
  for (const section of sections) assert.match(section, /^\w+\n\n[A-Z].+\n\n- /s, section)
  for (const { alert, annotations } of rules) {
    if (alert === undefined) continue
    const place = `config/prometheus/README.md#${alert.toLowerCase()}`
    assert.equal(annotations?.['runbook'], place)
  }
  const anchors = [...text.matchAll(/\]\(#(\w+)\)/g)].map(([, anchor]) => anchor)
  const known = new Set(alerts.map((alert) => alert.toLowerCase()))
  assert.deepEqual(
    anchors.filter((anchor) => !known.has(anchor ?? '')),
    [],
  )
})

test('every alert is tested where it fires and where it does not', async () => {
  const fires = new Set<string>()
  const rests = new Set<string>()
  for (const file of ['rules', 'slow-rules']) {
    const text = await readFile(join(CONFIG, `../test/e2e/${file}.promtool.yaml`), 'utf8')
    const { tests } = parse(text) as { tests: readonly PromtoolTest[] }
    for (const { alertname, exp_alerts } of tests.flatMap((one) => one.alert_rule_test ?? [])) {
      const tested = exp_alerts.length > 0 ? fires : rests
      tested.add(alertname)
    }
  }
  const alerts = rules.flatMap(({ alert }) => alert ?? []).toSorted()
  assert.deepEqual([...fires].toSorted(), alerts)
  assert.deepEqual([...rests].toSorted(), alerts)
})

test('panels have a title, a place of their own and an identity', () => {
  const { panels } = dashboard
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const places = panels.map(({ gridPos: { x, y } }) => `${x},${y}`)
  assert.equal(new Set(places).size, panels.length)
  for (const { title, gridPos } of panels) {
    assert.ok(title !== '')
    assert.ok(gridPos.x + gridPos.w <= 24, title)
  }
})

test('the names in an expression are found, whatever stands around them', () => {
  const text = `sum by (job, le) (rate(a_total{code=~"5..|b_total",job="c"}[5m] offset 1h)) / 2e3
    or on (job) group_left (d) (level:e:sum > bool 0.5) unless f_bucket{g!="}"} and time() - h < 1`
  assert.deepEqual(namesIn(text), ['a_total', 'level:e:sum', 'f_bucket', 'h'])
})

function assertKnown(expression: string, known: ReadonlySet<string>): void {
  const names = namesIn(expression)
  assert.ok(names.length > 0, expression)
  const unknown = names.filter((name) => !known.has(name))
  assert.deepEqual(unknown, [], `no such metric, in: ${expression}`)
}

/** Of the text format; a histogram is three names. */
function namesOf(text: string): ReadonlySet<string> {
  const names = [...text.matchAll(/^# TYPE (\S+) (\w+)$/gm)].flatMap(([, name = '', type]) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  )
  return new Set(names)
}
