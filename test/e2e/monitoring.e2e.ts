import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { parse, stringify } from 'yaml'

import { FaultRegistry } from '../support/fault-registry.ts'
import { send } from '../support/http-client.ts'
import { buildImage } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import {
  expressionsOf,
  RULES,
  readDashboard,
  readRules,
  selectorsIn,
} from '../support/monitoring.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { jwt } from '../upstream/credentials/site.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import { freePort } from './programs.ts'
import { Prometheus } from './prometheus.ts'

/** Long enough for a slow machine: it ends as soon as everything has an answer. */
const PATIENCE_MS = 90_000
const CONFIG = join(import.meta.dirname, '../../config/prometheus/prometheus.yml')
/** A password that says of itself when it expires. */
const EXPIRING = jwt({ exp: 4_000_000_000 })

test('every query of the dashboard and the rules has an answer from a Larder under load', async () => {
  await using site = await Site.start()
  await using prometheus = await Prometheus.start(site.configure)
  // What it was before it was started again is told by an annotation.
  await waitFor(prometheus, ['process_start_time_seconds{job="larder"}'], async () => {})
  await site.restart()
  const rules = await readRules()
  const dashboard = await readDashboard()
  const recording = rules.filter(({ record }) => record !== undefined)
  const queries = new Set([
    ...expressionsOf(dashboard).map(substituted),
    ...recording.map(({ expr }) => expr),
    ...recording.map(({ record = '' }) => record),
    // What an alert compares has to be there before there is anything to be alarmed of.
    ...rules.flatMap(({ expr }) => selectorsIn(expr)),
    ...variablesOf(dashboard),
    'ALERTS{alertname="LarderThrottled",upstream="limited.test",alertstate="firing"}',
  ])
  assert.ok(queries.size > 100)
  await waitFor(prometheus, queries, () => site.load())
  const health = await prometheus.rules()
  assert.equal(health.length, rules.length)
  assert.deepEqual(
    health.filter((rule) => rule.health !== 'ok'),
    [],
  )
})

/** Goes on with `load` until each of the queries has found a number. */
async function waitFor(
  prometheus: Prometheus,
  queries: Iterable<string>,
  load: () => Promise<void>,
): Promise<void> {
  const endsAt = performance.now() + PATIENCE_MS
  let pending = [...queries]
  while (pending.length > 0) {
    await load()
    const unanswered: string[] = []
    for (const query of pending) {
      const found = await prometheus.query(query)
      if (!found.some(({ value }) => !Number.isNaN(value))) unanswered.push(query)
    }
    pending = unanswered
    if (performance.now() > endsAt) assert.deepEqual(pending, [], 'these find nothing')
  }
}

/** As Grafana would ask it, for everything. */
function substituted(expression: string): string {
  return expression
    .replaceAll('$__rate_interval', '1m')
    .replaceAll('$__range', '1m')
    .replaceAll(/\$\w+/g, '.*')
}

/** What the dashboard's variables are chosen from. */
function variablesOf({ templating }: Awaited<ReturnType<typeof readDashboard>>): string[] {
  const queries = templating.list.flatMap(({ query }) => query.query ?? [])
  return queries.map((query) => {
    const [, selector = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(query) ?? []
    return `count by (${label}) (${substituted(selector)}) > 0`
  })
}

interface SiteParts {
  readonly dir: Awaited<ReturnType<typeof makeTempDir>>
  readonly registries: Readonly<Record<'well' | 'tokens' | 'limited', FaultRegistry>>
  readonly adminPort: number
  /** Nobody listens there. */
  readonly deadPort: number
}

/** Larder on TLS, and registries that are well, want tokens, allow nothing, and are not there. */
class Site implements AsyncDisposable {
  readonly #parts: SiteParts
  /** The project's own, for Prometheus. */
  readonly #config: string
  #larder: RunningLarder
  #rounds = 0

  static async start(): Promise<Site> {
    const dir = await makeTempDir('larder-monitoring-')
    const well = await new FaultRegistry().start()
    well.rateLimit = { limit: 100_000, remaining: 90_000, windowSeconds: 21_600 }
    const users = { larder: EXPIRING }
    const tokens = await new FaultRegistry({ auth: { kind: 'token', users } }).start()
    const limited = await new FaultRegistry().start()
    limited.rateLimit = { limit: 1, remaining: 0, windowSeconds: 60 }
    await writeFile(join(dir.path, 'cert.pem'), LOOPBACK_CERT)
    await writeFile(join(dir.path, 'key.pem'), LOOPBACK_KEY)
    await writeFile(join(dir.path, 'password'), EXPIRING)
    const registries = { well, tokens, limited }
    well.add('team/base', buildImage({ seed: 'base' }), 'v1')
    const [adminPort, deadPort] = [await freePort(), await freePort()]
    const parts = { dir, registries, adminPort, deadPort }
    return new Site(parts, await startOn(parts), await readFile(CONFIG, 'utf8'))
  }

  private constructor(parts: SiteParts, larder: RunningLarder, config: string) {
    this.#parts = parts
    this.#larder = larder
    this.#config = config
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#larder.close()
    for (const registry of Object.values(this.#parts.registries)) await registry.close()
    await this.#parts.dir.remove()
  }

  /** The project's own file, with other places, and quicker. */
  readonly configure = (port: number): string => {
    const targets: Readonly<Record<string, string>> = {
      larder: `127.0.0.1:${this.#parts.adminPort}`,
      prometheus: `127.0.0.1:${port}`,
    }
    const { scrape_configs, ...config } = parse(this.#config) as PrometheusConfig
    return stringify({
      ...config,
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [RULES],
      scrape_configs: scrape_configs.map(({ job_name }) => ({
        job_name,
        static_configs: [{ targets: [targets[job_name]] }],
      })),
    })
  }

  async restart(): Promise<void> {
    await this.#larder.close()
    this.#larder = await startOn(this.#parts)
    await this.#manage('/gc', {})
    await this.#manage('/preload', { job: 'base' })
  }

  /** Hits, misses and what goes wrong, anew each time. */
  async load(): Promise<void> {
    const name = `round-${this.#rounds++}`
    const image = buildImage({ seed: name, layers: [Buffer.alloc(300_000, name)] })
    for (const registry of Object.values(this.#parts.registries))
      registry.add('team/app', image, name)
    const manifest = `manifests/${name}`
    for (const time of ['cold', 'warm']) {
      await this.#pull('well.test', manifest)
      for (const digest of image.blobs.keys()) {
        const paths = Array.from({ length: 3 }, () => `blobs/${digest}`)
        await Promise.all(paths.map((path) => this.#pull('well.test', path)))
      }
      await this.#pull('tokens.test', manifest)
      await this.#pull('well.test', `manifests/absent-${time}-${name}`)
    }
    await this.#pull('well.test', 'tags/list')
    await this.#pull('limited.test', manifest)
    await this.#pull('dead.test', manifest)
  }

  async #pull(registry: string, path: string): Promise<void> {
    await send(this.#larder.url, `/v2/team/app/${path}?ns=${registry}`, { ca: LOOPBACK_CERT })
  }

  async #manage(path: string, body: object): Promise<void> {
    const { status, body: answer } = await send(this.#larder.adminUrl, `/api/v1${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
    assert.equal(status, 200, answer.toString())
  }
}

interface PrometheusConfig {
  readonly scrape_configs: readonly { readonly job_name: string }[]
}

function startOn({ dir, registries, adminPort, deadPort }: SiteParts): Promise<RunningLarder> {
  const { well, tokens, limited } = registries
  const file = (name: string) => join(dir.path, name)
  return startLarder({
    dataDir: file('data'),
    server: {
      adminListen: `127.0.0.1:${adminPort}`,
      tls: { certFile: file('cert.pem'), keyFile: file('key.pem') },
    },
    upstreams: [
      { name: 'well.test', url: well.origin },
      {
        name: 'tokens.test',
        url: tokens.origin,
        access: 'shared',
        credentials: [{ username: 'larder', passwordFile: file('password') }],
      },
      { name: 'limited.test', url: limited.origin },
      {
        name: 'dead.test',
        url: `http://127.0.0.1:${deadPort}`,
        limits: { connectTimeout: '500ms' },
      },
    ],
    preload: [{ name: 'base', sources: ['well.test/team/base:v1'] }],
  })
}
