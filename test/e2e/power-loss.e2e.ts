import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { before, test } from 'node:test'

import { makeTempDir } from '../support/temp-dir.ts'
import type { History } from '../power/history.ts'
import { differences, readHistory, record } from '../power/recorder.ts'
import { simulate } from '../power/simulation.ts'

const STATES = 1500
const SEED = 5
/** Starts of the program itself. */
const WHOLE = 12

const dir = await makeTempDir('larder-power-')
let history: History

before(async () => {
  await mkdir(join(dir.path, 'disk'))
  await record(dir.path)
  history = await readHistory(dir.path)
})
