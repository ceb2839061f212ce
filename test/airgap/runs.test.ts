import assert from 'node:assert/strict'
import { test } from 'node:test'

import { PreloadError } from '../../src/airgap/failure.ts'
import type { PreloadResult } from '../../src/airgap/preload.ts'
import type { RunRecord, RunRequest, RunState } from '../../src/airgap/run-report.ts'
import { Runs, type RunWork } from '../../src/airgap/runs.ts'

const REQUEST: RunRequest = {
  images: ['docker.io/library/a:1'],
  job: undefined,
  platforms: undefined,
  referrers: false,
  pin: false,
  owner: undefined,
  parallel: 8,
  dryRun: false,
}
const DONE: PreloadResult = { done: 1, unchanged: 0, failed: 0, fetchedBytes: 5, hereBytes: 0 }

/** Runs whose work is what the test says, and all that was kept of them. */
function createRuns(work: RunWork, records: readonly RunRecord[] = []) {
  const kept = new Map<string, RunRecord>()
  const errors: unknown[] = []
  let ids = 0
  const runs = new Runs(
    {
      work: () => work,
      async put(record) {
        kept.set(record.report.id, record)
      },
      now: () => 1_000,
      makeId: () => `run-${++ids}`,
      onError: (_id, error) => void errors.push(error),
    },
    records,
  )
  return { runs, kept, errors }
}

function record(id: string, state: RunState): RunRecord {
  const { runs } = createRuns(async () => DONE)
  const { rows: _, active: __, ...report } = runs.begin(REQUEST)
  return { report: { ...report, id, state }, request: REQUEST }
}

test('what was under way when Larder was killed was interrupted, and can be tried again', async () => {
  const before = [record('one', 'running'), record('two', 'queued'), record('three', 'done')]
  const { runs } = createRuns(async () => DONE, before)
  const states = runs.list().map(({ id, state }) => `${id} ${state}`)
  assert.deepEqual(states, ['three done', 'two interrupted', 'one interrupted'])
  const again = runs.retry('one')
  assert.equal(again?.images.total, 1)
  assert.throws(() => runs.retry('three'), /nothing of it has failed/)
  await runs.close()
})

test('the last hundred that have ended are kept, and those under way besides', async () => {
  const held = Promise.withResolvers<PreloadResult>()
  const { runs } = createRuns(async () => DONE)
  const started = Array.from({ length: 130 }, (_, index) => index)
  for (const _ of started) {
    await runs.track(
      { origin: 'command', request: REQUEST },
      async () => DONE,
      () => {},
      new AbortController().signal,
    )
  }
  const going = runs.track(
    { origin: 'command', request: REQUEST },
    () => held.promise,
    () => {},
    new AbortController().signal,
  )
  const list = runs.list()
  assert.equal(list.length, 101)
  assert.equal(list[0]?.state, 'running')
  assert.equal(list[1]?.id, 'run-130', 'the newest first')
  assert.equal(list.at(-1)?.id, 'run-31')
  held.resolve(DONE)
  await going
  await runs.close()
})

test('of jobs of thousands of images those of long ago keep their sum, and what failed', async () => {
  const images = Array.from({ length: 9_000 }, (_, index) => `docker.io/library/a:${index}`)
  const work: RunWork = async (onEvent) => {
    const [image = ''] = images
    const failure = { code: 'UPSTREAM_FAILED', message: 'gone' } as const
    onEvent({ kind: 'image', image, state: 'failed', failure })
    return { ...DONE, failed: 1 }
  }
  const { runs } = createRuns(work)
  const request = { ...REQUEST, images }
  for (let i = 0; i < 4; i++) {
    await runs.track({ origin: 'command', request }, work, () => {}, new AbortController().signal)
  }
  const newest = runs.find('run-4')
  const oldest = runs.find('run-1')
  assert.equal(newest?.rows.length, 1_000)
  assert.equal(newest?.rows[0]?.state, 'failed', 'what failed comes first')
  assert.equal(oldest?.rows.length, 1)
  assert.deepEqual(oldest?.failed, newest?.failed)
  assert.equal(oldest?.images.total, newest?.images.total)
  await runs.close()
})

test('what cannot go on says why, of ourselves no more than that it is our fault', async () => {
  const reasons = [new PreloadError('INCOMPLETE', 'the sources name no image'), new Error('secret')]
  const { runs, kept, errors } = createRuns(async () => {
    throw reasons.shift()
  })
  const first = runs.begin(REQUEST).id
  const second = runs.begin(REQUEST).id
  const ended = [first, second].map(
    (id) =>
      new Promise<void>((resolve) => {
        runs.follow(id, ({ kind }) => kind === 'end' && resolve())
      }),
  )
  await Promise.all(ended)
  await runs.close()
  assert.deepEqual(runs.find(first)?.error, {
    code: 'INCOMPLETE',
    message: 'the sources name no image',
  })
  assert.equal(runs.find(second)?.error?.code, 'INTERNAL')
  assert.ok(!JSON.stringify([...kept.values()]).includes('secret'))
  assert.equal(errors.length, 2, 'the log is told')
})
