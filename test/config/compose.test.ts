import assert from 'node:assert/strict'
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { parse } from 'yaml'

import { loadConfig } from '../../src/config/load.ts'

interface Service {
  readonly build?: string
  readonly image: string
  readonly init?: boolean
  readonly restart: string
  readonly read_only: boolean
  readonly cap_drop: readonly string[]
  readonly security_opt: readonly string[]
  readonly ports: readonly string[]
  readonly volumes: readonly string[]
  readonly command?: readonly string[]
  readonly stop_grace_period?: string
  readonly healthcheck: { readonly test: readonly string[] }
  readonly profiles?: readonly string[]
}

interface Compose {
  readonly version?: unknown
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}

const ROOT = join(import.meta.dirname, '../..')
const compose = (await readYaml('docker-compose.yml')) as Compose
const services = Object.entries(compose.services)

test('compose runs Larder, Prometheus and Grafana, without a profile', () => {
  assert.deepEqual(Object.keys(compose.services), ['larder', 'prometheus', 'grafana'])
  assert.equal(compose.version, undefined)
  for (const [name, { profiles }] of services) assert.equal(profiles, undefined, name)
})

test('every container can write to its volumes only, and has no privilege', () => {
  for (const [name, service] of services) {
    assert.equal(service.read_only, true, name)
    assert.deepEqual(service.cap_drop, ['ALL'], name)
    assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name)
    assert.equal(service.restart, 'unless-stopped', name)
    assert.equal(service.healthcheck.test[0], 'CMD', name)
  }
})

test('only the registry API is reachable from elsewhere', () => {
  const published = services.flatMap(([, { ports }]) => ports)
  const open = published.filter((port) => !port.startsWith('127.0.0.1:'))
  assert.deepEqual(open, ['5000:5000'])
  assert.ok(compose.services['larder']?.ports.includes('127.0.0.1:9090:9090'))
  assert.equal(new Set(published).size, published.length)
})

test('images of others are pinned to a version', () => {
  for (const [name, { image, build }] of services) {
    if (build === undefined) assert.match(image, /^[\w/.-]+:v?\d+\.\d+\.\d+$/, name)
  }
})

test('what is mounted is there: volumes are declared, files exist and cannot be written', async () => {
  for (const [, { volumes }] of services) {
    for (const volume of volumes) {
      const [source = '', , mode] = volume.split(':')
      if (!source.startsWith('./')) {
        assert.ok(source in compose.volumes, volume)
        continue
      }
      assert.equal(mode, 'ro', volume)
      await access(join(ROOT, source))
    }
  }
})

test('Larder has the time to drain that its configuration says', async () => {
  const file = join(ROOT, 'config/container.yaml')
  const { config } = await loadConfig({ file, env: {}, cwd: ROOT })
  const graceMs = Number.parseInt(compose.services['larder']?.stop_grace_period ?? '', 10) * 1000
  assert.ok(graceMs > config.server.drainTimeoutMs + 5_000)
})

test('Prometheus finds Larder, Grafana finds Prometheus and the dashboard', async () => {
  const prometheus = (await readYaml('config/prometheus/prometheus.yml')) as {
    rule_files: readonly string[]
    scrape_configs: readonly {
      job_name: string
      static_configs: readonly { targets: readonly string[] }[]
    }[]
  }
  const larder = prometheus.scrape_configs.find(({ job_name }) => job_name === 'larder')
  assert.deepEqual(larder?.static_configs, [{ targets: ['larder:9090'] }])
  assert.deepEqual(prometheus.rule_files, ['rules.yaml'])
  await access(join(ROOT, 'config/prometheus/rules.yaml'))
  const mounts = compose.services['prometheus']?.volumes ?? []
  assert.ok(mounts.includes('./config/prometheus:/etc/prometheus:ro'))

  const provisioning = 'config/grafana/provisioning'
  const sources = (await readYaml(`${provisioning}/datasources/prometheus.yaml`)) as {
    datasources: readonly { type: string; url: string }[]
  }
  assert.deepEqual(
    sources.datasources.map(({ type, url }) => [type, url]),
    [['prometheus', 'http://prometheus:9090']],
  )
  const dashboards = (await readYaml(`${provisioning}/dashboards/larder.yaml`)) as {
    providers: readonly { options: { path: string } }[]
  }
  const path = dashboards.providers[0]?.options.path ?? ''
  const dashboardMount = `./config/grafana/dashboards:${path}:ro`
  assert.ok(compose.services['grafana']?.volumes.includes(dashboardMount), dashboardMount)
})

async function readYaml(file: string): Promise<unknown> {
  return parse(await readFile(join(ROOT, file), 'utf8'), { merge: true })
}
