import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { Server } from './proc.ts'
import { runScenarios } from './run.ts'
import type { Bench, LoadScenario, Role, StartScenario } from './scenarios/scenario.ts'

/** Nothing is asked of it here. */
const SERVER = {} as Server

function benchOf(...roles: readonly Role[]): Bench {
  return { servers: new Map(roles.map((role) => [role, SERVER])) } as Partial<Bench> as Bench
}

const BROKEN: LoadScenario = {
  name: 'broken',
  title: 'broken',
  measures: 'blobs',
  roles: ['larder'],
  cold: true,
  comparisons: [],
  push: () => Promise.reject(new Error('the registry refused')),
  prime: () => Promise.resolve(),
  load: () => ({ paths: [], connections: 1 }),
}

function starting(): StartScenario & { readonly done: string[] } {
  const done: string[] = []
  return {
    done,
    name: 'start',
    title: 'start',
    measures: 'starts',
    roles: ['larder'],
    comparisons: [],
    prepare() {
      done.push('prepared')
      return Promise.resolve(() => {
        done.push('started')
        return Promise.resolve({ cpuSeconds: done.length, loopP99Ms: 1 })
      })
    },
  }
}

test('a scenario that fails loses none of the others, and is told of', async () => {
  const told: string[] = []
  const start = starting()
  const { results, failures } = await runScenarios(
    benchOf('larder'),
    [BROKEN, start],
    1,
    (text) => void told.push(text),
  )
  assert.deepEqual(failures, [{ scenario: BROKEN, reason: 'the registry refused' }])
  assert.deepEqual(
    results.map(({ scenario, series }) => [scenario.name, series.length]),
    [['start', 1]],
  )
  assert.deepEqual(told, ['broken failed: the registry refused', 'start 1/1 larder'])
})

test('what a start needs is made once for all rounds, and not at all without Larder', async () => {
  const start = starting()
  const { results } = await runScenarios(benchOf('larder'), [start], 3, () => {})
  assert.deepEqual(start.done, ['prepared', 'started', 'started', 'started'])
  const [series] = results[0]?.series ?? []
  assert.deepEqual(
    series?.samples.map(({ cpuSeconds }) => cpuSeconds),
    [2, 3, 4],
  )

  const none = starting()
  assert.deepEqual((await runScenarios(benchOf('nginx'), [none], 3, () => {})).failures, [])
  assert.deepEqual(none.done, [])
})
