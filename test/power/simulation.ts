import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { type Crash, fatesOf, planCrashes } from './crashes.ts'
import { type DiskState, stateAt } from './disk-state.ts'
import type { History } from './history.ts'
import { parseMark } from './marks.ts'
import { Promises } from './promises.ts'
import { Restart } from './restart.ts'
import { serveOffline } from './whole.ts'

export interface SimulationOptions {
  readonly history: History
  readonly states: number
  readonly seed: number
  /** On how many of them the program itself is started, too. */
  readonly wholeStarts: number
  /** An empty folder, for one state after the other. */
  readonly scratch: string
}

export interface Broken {
  readonly crash: Crash
  readonly violations: readonly string[]
}

export interface Simulated {
  readonly states: number
  /** Answers of the program to pulls, by what was stored. */
  readonly served: number
  readonly broken: readonly Broken[]
  /** The longest start of the store, with all that was looked at; milliseconds. */
  readonly slowestMs: number
}

/** After so many broken promises it ends. */
const MAX_BROKEN = 10

/** Fails the power again and again, at other moments and in other ways, and starts on what is left. */
export async function simulate(options: SimulationOptions): Promise<Simulated> {
  const { history, states, seed, wholeStarts, scratch } = options
  const broken: Broken[] = []
  const promises = new Promises()
  let marks = 0
  let served = 0
  let slowestMs = 0
  const crashes = planCrashes(history, states, seed)
  const every = Math.max(1, Math.floor(crashes.length / wholeStarts))
  let done = 0
  for (const crash of crashes) {
    for (; (history.marks[marks]?.at ?? Number.POSITIVE_INFINITY) <= crash.at; marks++) {
      promises.take(parseMark(history.marks[marks]?.text ?? ''))
    }
    const path = join(scratch, String(done++))
    const data = leave(history, crash, path)
    const began = performance.now()
    const violations = [...(await new Restart(data, promises).check())]
    slowestMs = Math.max(slowestMs, performance.now() - began)
    rmSync(path, { recursive: true })
    if (done % every === 0) {
      const offline = await serveOffline(leave(history, crash, path), promises)
      rmSync(path, { recursive: true })
      served += offline.served
      violations.push(...offline.violations)
    }
    if (violations.length > 0) broken.push({ crash, violations })
    if (broken.length >= MAX_BROKEN) break
  }
  return { states: done, served, broken, slowestMs }
}

/** Writes down what is left after a crash. @returns the data directory */
export function leave(history: History, crash: Crash, path: string): string {
  write(stateAt(history.disk, crash.at, fatesOf(history.disk, crash)), path)
  return join(path, 'data')
}

function write(state: DiskState, path: string): void {
  mkdirSync(path)
  for (const [name, file] of state) {
    if (file === undefined) mkdirSync(join(path, name), { recursive: true, mode: 0o700 })
    else {
      mkdirSync(dirname(join(path, name)), { recursive: true })
      writeFileSync(join(path, name), file.bytes)
    }
  }
}
