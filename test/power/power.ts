/**
 * `npm run power [-- STATES [SEED [FOLDER]]]`: records a Larder that works, and fails its power in
 * as many ways. A FOLDER that an earlier run has kept is used again instead. Exits with 1 when a
 * promise was broken.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { makeTempDir } from '../support/temp-dir.ts'
import { differences, readHistory, record } from './recorder.ts'
import { makeScratch } from './scratch.ts'
import { simulate } from './simulation.ts'

const DEFAULT_STATES = 20_000
const WHOLE_STARTS = 50

const [states = String(DEFAULT_STATES), seed = String(Date.now() % 1_000_000), kept] =
  process.argv.slice(2)
const say = (line: string) => void process.stdout.write(`${line}\n`)

const dir = await makeTempDir('larder-power-')
const path = kept ?? dir.path
if (kept === undefined) {
  await mkdir(join(path, 'disk'))
  await record(path)
}
const history = await readHistory(path)
const unexplained = await differences(path, history)
if (unexplained.length > 0) throw new Error(`not recorded: ${unexplained.join(', ')}`)
say(`${states} crashes within ${history.disk.changes.length} changes, seed ${seed}, in ${path}`)
const scratch = await makeScratch()
const began = performance.now()
const done = await simulate({
  history,
  states: Number(states),
  seed: Number(seed),
  wholeStarts: WHOLE_STARTS,
  scratch: scratch.path,
})
await scratch.remove()
for (const { crash, violations } of done.broken) {
  say(`BROKEN ${JSON.stringify(crash)}`)
  for (const violation of violations) say(`  ${violation}`)
}
const seconds = ((performance.now() - began) / 1000).toFixed(1)
const slowest = done.slowestMs.toFixed(0)
say(`${done.states} starts in ${seconds} s, the slowest ${slowest} ms; ${done.served} answers`)
if (done.broken.length === 0) {
  say('every promise was kept')
  await dir.remove()
} else {
  say(`again: npm run power -- ${states} ${seed} ${path}`)
  process.exitCode = 1
}
