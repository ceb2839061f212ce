import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Schedule, type Scheduled } from '../../src/airgap/schedule.ts'

interface Run {
  readonly name: string
  readonly at: string
}

/** A clock that moves by being slept on, and jobs that say when they were run. */
class Times {
  readonly runs: Run[] = []
  readonly errors: unknown[] = []
  now = Date.UTC(2026, 0, 1, 2, 59, 30)
  /** What the next sleep adds to what it was asked for. */
  jumpMs = 0
  running: (job: Scheduled, signal: AbortSignal) => Promise<void> = async () => {}
  readonly schedule = new Schedule<Scheduled>({
    run: async (job, signal) => {
      this.runs.push({ name: job.name, at: new Date(this.now).toISOString() })
      this.#tell()
      await this.running(job, signal)
    },
    now: () => this.now,
    sleep: async (delayMs, signal) => {
      await this.#gate.promise
      signal.throwIfAborted()
      this.now += delayMs + this.jumpMs
      this.jumpMs = 0
      this.#longest = Math.max(this.#longest, delayMs)
    },
    onError: (error) => this.errors.push(error),
  })
  #gate = Promise.withResolvers<void>()
  #longest = 0
  #waiting: { readonly runs: number; readonly resolve: () => void }[] = []

  /** From now on sleeping ends at once. */
  go(): void {
    this.#gate.resolve()
  }

  stop(): void {
    this.#gate = Promise.withResolvers()
  }

  get longestSleepMs(): number {
    return this.#longest
  }

  /** Stops the clock once there were so many runs. */
  async ran(runs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push({ runs, resolve })
    this.go()
    await promise
  }

  async close(): Promise<void> {
    const closed = this.schedule.close()
    this.go()
    await closed
    assert.deepEqual(this.errors, [])
  }

  #tell(): void {
    for (const { runs, resolve } of this.#waiting) {
      if (this.runs.length < runs) continue
      this.stop()
      resolve()
    }
  }
}

const NIGHTLY = { name: 'nightly', schedule: '0 3 * * *' }

test('a job is run at its times, in UTC, and the clock is looked at in between', async () => {
  const times = new Times()
  times.schedule.take([NIGHTLY, { name: 'asked', schedule: undefined }])
  await times.ran(2)
  assert.deepEqual(times.runs, [
    { name: 'nightly', at: '2026-01-01T03:00:00.000Z' },
    { name: 'nightly', at: '2026-01-02T03:00:00.000Z' },
  ])
  assert.ok(times.longestSleepMs <= 60_000)
  await times.close()
})

test('a clock that jumps ahead makes up for nothing: the job is run once, and then at its times', async () => {
  const times = new Times()
  times.jumpMs = 3 * 24 * 3_600_000
  times.schedule.take([NIGHTLY])
  await times.ran(2)
  assert.deepEqual(
    times.runs.map(({ at }) => at),
    ['2026-01-04T03:00:00.000Z', '2026-01-05T03:00:00.000Z'],
  )
  await times.close()
})

test('a run that is late to end is not joined by another', async () => {
  const times = new Times()
  let running = 0
  let most = 0
  times.running = async () => {
    most = Math.max(most, ++running)
    times.now += 36 * 3_600_000
    await Promise.resolve()
    running--
  }
  times.schedule.take([NIGHTLY])
  await times.ran(2)
  assert.equal(most, 1)
  assert.deepEqual(
    times.runs.map(({ at }) => at),
    ['2026-01-01T03:00:00.000Z', '2026-01-03T03:00:00.000Z'],
  )
  await times.close()
})

test('other jobs are taken over: what is gone is run no more, what is the same goes on', async () => {
  const times = new Times()
  times.schedule.take([NIGHTLY, { name: 'gone', schedule: '0 4 * * *' }])
  times.schedule.take([NIGHTLY, { name: 'new', schedule: '0 5 * * *' }])
  await times.ran(2)
  assert.deepEqual(
    times.runs.map(({ name }) => name),
    ['nightly', 'new'],
  )
  await times.close()
})

test('closing ends what is under way', async () => {
  const times = new Times()
  times.running = (_job, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  times.schedule.take([NIGHTLY])
  await times.ran(1)
  await times.close()
  times.schedule.take([NIGHTLY])
  assert.equal(times.runs.length, 1)
})
