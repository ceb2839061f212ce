import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { stringify } from 'yaml'

import { expressionsOf, readDashboard } from '../support/monitoring.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { run } from './programs.ts'

const PROMETHEUS = join(import.meta.dirname, '../../config/prometheus')

test('Prometheus takes its configuration and the rules that it names', async () => {
  await run('promtool', ['check', 'config', join(PROMETHEUS, 'prometheus.yml')])
  await run('promtool', ['check', 'rules', '--lint-fatal', join(PROMETHEUS, 'rules.yaml')])
})

test('alerts fire when they should, and not otherwise', async () => {
  const files = ['rules.promtool.yaml', 'slow-rules.promtool.yaml']
  await run('promtool', ['test', 'rules', ...files.map((file) => join(import.meta.dirname, file))])
})

test('Prometheus can read every expression of the dashboard', async () => {
  await using dir = await makeTempDir()
  const rules = expressionsOf(await readDashboard()).map((expression, index) => ({
    record: `panel:${index}`,
    expr: expression
      .replaceAll('$__rate_interval', '1m')
      .replaceAll('$__range', '6h')
      .replaceAll(/\$\w+/g, '.*'),
  }))
  const file = join(dir.path, 'dashboard.yaml')
  await writeFile(file, stringify({ groups: [{ name: 'dashboard', rules }] }))
  await run('promtool', ['check', 'rules', '--lint-fatal', file])
})
