import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import fc from 'fast-check'

import { freshness, mayOutlast } from '../src/pull/freshness.ts'
import { ClockKeeper, type ClockMark, SteadyClock } from '../src/steady-clock.ts'
import { SqliteCatalog } from '../src/store/catalog.ts'
import { openDatabase } from '../src/store/database.ts'
import { BEHIND, PRESENT } from './pull/rooms.ts'
import { runs } from './pull/runs.ts'
import { makeTempDir } from './support/temp-dir.ts'

const SECOND = 1000
const HOUR = 3600 * SECOND
const DAY = 24 * HOUR
const YEAR = 365 * DAY
const START = 1_800_000_000_000

/** A machine: its wall clock can be set, the other one only runs, and begins anew with each boot. */
class Machine {
  wall = START
  elapsedMs = 5 * HOUR

  now(): number {
    return this.wall
  }

  elapsed(): number {
    return this.elapsedMs
  }

  pass(milliseconds: number): void {
    this.wall += milliseconds
    this.elapsedMs += milliseconds
  }

  /** Asleep or off: only the wall clock, which has a battery, knows. */
  sleep(milliseconds: number): void {
    this.wall += milliseconds
  }

  boot(): void {
    this.elapsedMs = 0
  }
}

/** @param last as it was written down, or a moment at which the wall clock was right */
function begin(machine: Machine, last?: ClockMark | number): SteadyClock {
  const mark = typeof last === 'number' ? { at: last, wall: last, ahead: 0, leave: DAY } : last
  return new SteadyClock({ system: machine, last: mark })
}

/** Passes `milliseconds`, looked at every minute, as a busy Larder would. */
function run(machine: Machine, clock: SteadyClock, milliseconds: number): void {
  for (let passed = 0; passed < milliseconds; passed += 60 * SECOND) {
    machine.pass(60 * SECOND)
    clock.now()
  }
}

test('it begins with the wall clock, and both go alike', () => {
  const machine = new Machine()
  const clock = begin(machine)
  assert.equal(clock.now(), START)
  machine.pass(90 * DAY)
  assert.equal(clock.now(), START + 90 * DAY)
  assert.equal(clock.elapsed(), machine.elapsedMs)
})

test('a machine that was asleep for three hours is three hours older at once', () => {
  const machine = new Machine()
  const clock = begin(machine)
  machine.sleep(3 * HOUR)
  assert.equal(clock.now(), START + 3 * HOUR)
  machine.sleep(21 * HOUR)
  assert.equal(clock.now(), START + DAY)
})

test('of ten years ahead it takes a day at once and then a day an hour', () => {
  const machine = new Machine()
  const clock = begin(machine)
  machine.sleep(10 * YEAR)
  assert.equal(clock.now(), START + DAY)
  assert.equal(clock.now(), START + DAY, 'asking again gains nothing')
  run(machine, clock, HOUR)
  assert.equal(clock.now(), START + 2 * DAY + HOUR)
  run(machine, clock, 2 * HOUR)
  assert.equal(clock.now(), START + 4 * DAY + 3 * HOUR)
})

test('of ten years ahead it takes thirty days and no more: then a day is a day again', () => {
  const machine = new Machine()
  const clock = begin(machine)
  machine.sleep(10 * YEAR)
  clock.now()
  run(machine, clock, 40 * HOUR)
  assert.equal(clock.now(), START + 30 * DAY + 40 * HOUR)
  run(machine, clock, DAY)
  assert.equal(clock.now(), START + 30 * DAY + 64 * HOUR)
  machine.sleep(3 * HOUR)
  assert.equal(clock.now(), START + 30 * DAY + 67 * HOUR, 'sleep is seen still')
})

test('clocks that do not tick together add up to nothing', () => {
  const machine = new Machine()
  const clock = begin(machine, START - 10 * YEAR)
  run(machine, clock, 40 * HOUR)
  const settled = clock.now()
  for (let i = 0; i < 10_000; i++) {
    machine.wall += i % 2
    machine.elapsedMs += 0.5
    clock.now()
  }
  assert.ok(clock.now() - settled <= 5002, String(clock.now() - settled))
})

test('nobody having asked for long does not make the leap longer', () => {
  const machine = new Machine()
  const clock = begin(machine)
  machine.pass(DAY)
  machine.sleep(10 * YEAR)
  assert.equal(clock.now(), START + 2 * DAY)
})

test('ten years back are not seen, and time goes on', () => {
  const machine = new Machine()
  const clock = begin(machine)
  machine.wall -= 10 * YEAR
  assert.equal(clock.now(), START)
  machine.pass(HOUR)
  assert.equal(clock.now(), START + HOUR)
})

test('an hour of daylight saving and the steps of NTP do no harm', () => {
  const machine = new Machine()
  const clock = begin(machine)
  for (const step of [HOUR, -HOUR, 3 * SECOND, -5 * SECOND, HOUR, -HOUR]) {
    machine.wall += step
    machine.pass(SECOND)
    const now = clock.now()
    assert.ok(now >= START && now <= START + HOUR + 10 * SECOND, String(now - START))
  }
})

test('a restart goes on where it ended, and what a machine was off for has passed', () => {
  const machine = new Machine()
  machine.boot()
  machine.sleep(3 * HOUR)
  assert.equal(begin(machine, START).now(), START + 3 * HOUR)
})

test('a restart into a clock that is ten years off moves the line by a day at most', () => {
  const ahead = new Machine()
  ahead.wall += 10 * YEAR
  const clock = begin(ahead, START)
  assert.equal(clock.now(), START + DAY)
  run(ahead, clock, HOUR)
  assert.equal(clock.now(), START + 2 * DAY + HOUR)
  const behind = new Machine()
  behind.wall -= 10 * YEAR
  const other = begin(behind, START)
  assert.equal(other.now(), START)
  behind.pass(HOUR)
  assert.equal(other.now(), START + HOUR)
})

test('restarting again and again gains nothing', () => {
  const machine = new Machine()
  let mark = begin(machine).mark()
  machine.wall += 10 * YEAR
  const restart = (ranMs: number) => {
    machine.boot()
    const clock = begin(machine, mark)
    run(machine, clock, ranMs)
    mark = clock.mark()
  }
  for (let i = 0; i < 100; i++) restart(0)
  assert.equal(mark.at, START + DAY)
  for (let i = 0; i < 100; i++) restart(HOUR)
  assert.equal(mark.at, START + 30 * DAY + 100 * HOUR, 'thirty days in all for one jump')
  machine.wall -= 10 * YEAR
  restart(HOUR)
  assert.equal(mark.at, START + 30 * DAY + 101 * HOUR)
})

test('it never goes back, and never runs ahead of what was allowed', () => {
  const step = fc.record({
    passes: fc.integer({ min: 0, max: 2 * HOUR }),
    jumps: fc.integer({ min: -10 * YEAR, max: 10 * YEAR }),
    restarts: fc.boolean(),
  })
  const property = fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const machine = new Machine()
    let clock = begin(machine)
    let before = clock.now()
    let mark = clock.mark()
    let passed = 0
    for (const { passes, jumps, restarts } of steps) {
      passed += passes
      machine.pass(passes)
      machine.wall += jumps
      if (restarts) {
        // Off: what passes then does so for the wall clock alone.
        machine.boot()
        clock = begin(machine, mark)
      }
      const now = clock.now()
      assert.ok(now >= before, 'it went back')
      assert.ok(now - before <= passes + DAY, 'it leapt too far')
      assert.ok(now - START <= passed + DAY + (passed / HOUR) * DAY, 'it leapt too often')
      if (!restarts) assert.ok(now - before >= passes - 1, 'it stood still')
      before = now
      mark = clock.mark()
    }
  })
  fc.assert(property, runs(300))
})

/** Row 32 of the faults: what is stored, judged by this clock, over jumps and restarts. */
for (const [what, jump] of [
  ['ten years ahead', 10 * YEAR],
  ['ten years back', -10 * YEAR],
] as const) {
  for (const restarts of [false, true]) {
    test(`${what}${restarts ? ' and a restart' : ''}: ages neither explode nor stand still`, () => {
      const limits = { staleIfErrorMs: 7 * DAY }
      const rule = { ...PRESENT, maxAgeMs: 2 * DAY }
      const machine = new Machine()
      let clock = begin(machine)
      const known = { checkedAt: clock.now() }
      run(machine, clock, HOUR)
      const last = clock.mark()
      machine.wall += jump
      if (restarts) {
        machine.boot()
        clock = begin(machine, last)
      }
      assert.equal(freshness(rule, limits, known, clock.now()), 'fresh', 'not all is expired')
      run(machine, clock, 2 * DAY)
      assert.ok(clock.now() - known.checkedAt < 33 * DAY, 'nothing is unused for years')
      assert.equal(freshness({ ...rule, refresh: 'blocking' }, limits, known, clock.now()), 'stale')
      run(machine, clock, 8 * DAY)
      assert.equal(mayOutlast(rule, limits, known, clock.now()), false, 'it is not immortal')
      assert.equal(freshness({ ...BEHIND }, limits, known, clock.now()), 'stale')
    })
  }
}

test('the line is written down at once, now and then, and at the end; it never goes back', async (t) => {
  await using dir = await makeTempDir()
  const catalog = new SqliteCatalog(openDatabase(join(dir.path, 'larder.db')).database)
  assert.equal(catalog.getClock(), undefined)
  t.mock.timers.enable({ apis: ['setInterval'] })
  const machine = new Machine()
  const errors: unknown[] = []
  const clock = begin(machine, catalog.getClock())
  const onError = (error: unknown) => void errors.push(error)
  const keeper = new ClockKeeper({ clock, store: catalog, onError })
  const at = () => catalog.getClock()?.at
  assert.equal(at(), START)
  machine.pass(59 * SECOND)
  t.mock.timers.tick(59 * SECOND)
  assert.equal(at(), START)
  machine.pass(SECOND)
  t.mock.timers.tick(SECOND)
  assert.equal(at(), START + 60 * SECOND)
  machine.pass(7)
  keeper.close()
  assert.equal(at(), START + 60 * SECOND + 7)
  machine.pass(HOUR)
  t.mock.timers.tick(HOUR)
  assert.equal(at(), START + 60 * SECOND + 7, 'it is closed')
  catalog.putClock({ at: START, wall: START, ahead: 0, leave: DAY })
  assert.equal(at(), START + 60 * SECOND + 7)
  assert.deepEqual(errors, [])
  await catalog.close()
  keeper.close()
  assert.equal(errors.length, 1, 'who cannot write it says so')
})
