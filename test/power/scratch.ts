import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { TempDir } from '../support/temp-dir.ts'

const MEMORY = '/dev/shm'

/** A folder in memory where there is one: thousands of starts sync, and nothing of it is to last. */
export async function makeScratch(): Promise<TempDir> {
  const parent = existsSync(MEMORY) ? MEMORY : tmpdir()
  const path = await mkdtemp(join(parent, 'larder-power-states-'))
  const remove = () => rm(path, { recursive: true, force: true, maxRetries: 3 })
  return { path, remove, [Symbol.asyncDispose]: remove }
}
