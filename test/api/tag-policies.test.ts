import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { TagRule } from '../../src/config/config.ts'
import { IMPATIENT, startTestApp, type TestApp } from '../support/app.ts'
import { FaultRegistry } from '../support/fault-registry.ts'
import { answer, hangUp } from '../support/faults.ts'
import { buildImage } from '../support/images.ts'
import { SkippingClock } from '../support/skipping-clock.ts'

const HOUR = 3_600_000
const RULE: TagRule = {
  match: '*',
  repository: '**',
  pullPolicy: 'IfNotPresent',
  maxAgeMs: HOUR,
  refresh: 'blocking',
}
const POLICIES = {
  Always: { ...RULE, pullPolicy: 'Always' },
  blocking: RULE,
  background: { ...RULE, refresh: 'background' },
  Never: { ...RULE, pullPolicy: 'Never' },
} as const satisfies Record<string, TagRule>
/** Fresh for IfNotPresent; no longer so; older than `staleIfError` (7 d) beyond that. In seconds. */
const AGES = { fresh: 600, expired: 7_200, old: 864_000 } as const
const OLD = buildImage({ seed: 'old' })
/** One for each repository: what is here from another would not be fetched. */
const NEW = new Map(Object.keys(AGES).map((age) => [age, buildImage({ seed: `new ${age}` })]))

/** Makes the registry so, for whatever is asked from now on. */
const STATES = {
  same: () => undefined,
  moved: ({ registry }) => {
    for (const [age, image] of NEW) registry.add(`acme/${age}`, image, 'v1')
  },
  404: ({ registry }) => registry.script({}, answer(404)),
  401: ({ registry }) => registry.script({}, answer(401)),
  403: ({ registry }) => registry.script({}, answer(403)),
  429: ({ registry }) => registry.script({}, answer(429, { 'retry-after': '77' })),
  500: ({ registry }) => registry.script({}, answer(500)),
  reset: ({ registry }) => registry.script({}, hangUp('rst')),
  timeout: ({ registry }) => void registry.hold({}),
  offline: ({ app }) => app.restart({ offline: true }),
} as const satisfies Record<string, (site: Site) => Promise<void> | void>

/**
 * For each age: status, result, which manifest, its age (`=`: that of the copy), and what the
 * registry was asked.
 */
type Cells = readonly [fresh: string, expired: string, old: string]

const HIT = '200 hit old ='
const UNASKED: Cells = [HIT, HIT, HIT]
const FAILED = '- -'

function always(cell: string): Cells {
  return [cell, cell, cell]
}

/** An outage: a copy for as long as `staleIfError` lets it live, then the reason. */
function outage(status: number, asked = 'HEAD'): Record<keyof typeof POLICIES, Cells> {
  const stale = `200 stale old = ${asked}`
  const error = `${status} error ${FAILED} ${asked}`
  return {
    Always: [stale, stale, error],
    blocking: [HIT, stale, error],
    background: [HIT, `${HIT} ${asked}`, error],
    Never: UNASKED,
  }
}

/** A HEAD has no body to say why: GET is asked for that. */
function refusal(): Record<keyof typeof POLICIES, Cells> {
  const denied = `403 denied ${FAILED} HEAD GET`
  return {
    Always: always(denied),
    blocking: [HIT, denied, denied],
    background: [HIT, `${HIT} HEAD GET`, denied],
    Never: UNASKED,
  }
}

const TABLE: Record<keyof typeof STATES, Record<keyof typeof POLICIES, Cells>> = {
  same: {
    Always: always('200 revalidated old 0 HEAD'),
    blocking: [HIT, '200 revalidated old 0 HEAD', '200 revalidated old 0 HEAD'],
    background: [HIT, `${HIT} HEAD`, '200 revalidated old 0 HEAD'],
    Never: UNASKED,
  },
  moved: {
    Always: always('200 miss new 0 HEAD GET'),
    blocking: [HIT, '200 miss new 0 HEAD GET', '200 miss new 0 HEAD GET'],
    background: [HIT, `${HIT} HEAD GET`, '200 miss new 0 HEAD GET'],
    Never: UNASKED,
  },
  404: {
    Always: always(`404 miss ${FAILED} HEAD`),
    blocking: [HIT, '200 stale old = HEAD', `404 miss ${FAILED} HEAD`],
    background: [HIT, `${HIT} HEAD`, `404 miss ${FAILED} HEAD`],
    Never: UNASKED,
  },
  401: refusal(),
  403: refusal(),
  429: outage(503),
  500: outage(502),
  // Nobody can know of a connection that ends like this whether it was closed for being idle.
  reset: outage(502, 'HEAD HEAD'),
  timeout: outage(504),
  offline: {
    Always: always('200 stale old ='),
    blocking: [HIT, '200 stale old =', '200 stale old ='],
    background: [HIT, HIT, '200 stale old ='],
    Never: UNASKED,
  },
}

for (const [state, rows] of Object.entries(TABLE)) {
  for (const [policy, expected] of Object.entries(rows)) {
    test(`a tag under ${policy}, and the registry is ${state}: ${expected.join(', ')}`, async () => {
      const clock = new SkippingClock()
      const rule = POLICIES[policy as keyof typeof POLICIES]
      await using site = await startWarm(rule, clock)
      await STATES[state as keyof typeof STATES](site)
      const found: string[] = []
      let passed = 0
      let asked = 0
      for (const [index, [name, age]] of Object.entries(AGES).entries()) {
        clock.skip((age - passed) * 1000)
        passed = age
        asked += expected[index]?.match(/HEAD|GET/g)?.length ?? 0
        found.push(await pull(site, name, age, asked))
      }
      assert.deepEqual(found, expected)
    })
  }
}

interface Site extends AsyncDisposable {
  readonly registry: FaultRegistry
  readonly app: TestApp
}

/** A tag in each of three repositories, pulled a moment ago. */
async function startWarm(rule: TagRule, clock: SkippingClock): Promise<Site> {
  const registry = await new FaultRegistry().start()
  const upstream = {
    name: 'test',
    url: registry.origin,
    default: true,
    access: 'shared',
    tags: [RULE],
    limits: { ...IMPATIENT, headersTimeoutMs: 150 },
  } as const
  const app = await startTestApp({ upstreams: [upstream], clock })
  for (const age of Object.keys(AGES)) {
    registry.add(`acme/${age}`, OLD, 'v1')
    await app.get(`/v2/acme/${age}/manifests/v1`)
  }
  await app.restart({ upstreams: [{ ...upstream, tags: [rule] }] })
  registry.forget()
  return {
    registry,
    app,
    async [Symbol.asyncDispose]() {
      await registry.close()
      await app.close()
    },
  }
}

/** @param asked requests since the start, to be waited for, as some are made behind the answer */
async function pull({ app, registry }: Site, name: string, age: number, asked: number) {
  const line = app.logs.length
  const got = await app.get(`/v2/acme/${name}/manifests/v1`)
  await app.until('larder_upstream_requests_total', asked)
  const methods = registry.requests.map(({ method }) => method)
  registry.forget()
  const digest = got.headers['docker-content-digest']
  const isNew = digest === NEW.get(name)?.manifest.digest
  const which = digest === OLD.manifest.digest ? 'old' : isNew ? 'new' : '-'
  const seconds = Number(got.headers['age'])
  const isKept = seconds >= age && seconds < age + 60
  const shown = isKept ? '=' : (got.headers['age'] ?? '-')
  await app.logged(app.logs.filter(({ msg }) => msg === 'request').length)
  const { result } = app.logs.slice(line).find(({ msg }) => msg === 'request') ?? {}
  return [got.status, result, which, shown, ...methods].join(' ')
}
