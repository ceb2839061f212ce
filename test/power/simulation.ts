import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import { type Crash, fatesOf, planCrashes } from './crashes.ts'
import { type DiskState, stateAt } from './disk.ts'
import type { History } from './history.ts'
import { parseMark } from './marks.ts'
import { Promises } from './promises.ts'
import { Restart } from './restart.ts'

export interface SimulationOptions {
  readonly history: History
  readonly states: number
  readonly seed: number
  /** An empty folder, for one state after the other. */
  readonly scratch: string
  /** After so many crashes that broke a promise it ends; default 10. */
  readonly maxBroken?: number
}

export interface Broken {
  readonly crash: Crash
  readonly violations: readonly string[]
}

export interface Simulated {
  readonly states: number
  readonly broken: readonly Broken[]
  /** The longest start, milliseconds, with all that was looked at. */
  readonly slowestMs: number
}

/** Fails the power again and again, at other moments and in other ways, and starts on what is left. */
export async function simulate(options: SimulationOptions): Promise<Simulated> {
  const { history, seed, scratch, maxBroken = 10 } = options
  const broken: Broken[] = []
  const promises = new Promises()
  let marks = 0
  let states = 0
  let slowestMs = 0
  for (const crash of planCrashes(history, options.states, seed)) {
    for (; (history.marks[marks]?.at ?? Number.POSITIVE_INFINITY) <= crash.at; marks++) {
      promises.take(parseMark(history.marks[marks]?.text ?? ''))
    }
    const path = join(scratch, String(states++))
    const data = leave(history, crash, path)
    const began = performance.now()
    const violations = await new Restart(data, promises).check()
    slowestMs = Math.max(slowestMs, performance.now() - began)
    rmSync(path, { recursive: true })
    if (violations.length > 0) broken.push({ crash, violations })
    if (broken.length >= maxBroken) break
  }
  return { states, broken, slowestMs }
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
