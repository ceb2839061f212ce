/**
 * `npm run model [-- RUNS [SEED [PATH]]]`: so many stories of what may befall a Larder, each held
 * against a model of the true bytes (`run.ts`), in a process for each of two cores. It ends with 1
 * where a promise was broken, and prints the shortest story that was found, and its seed and path:
 * `npm run model -- 1 SEED PATH` plays that one again. What is decided by who comes first, such as
 * requests at the same moment, may then take several goes.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'

import { play } from './run.ts'
import { stories } from './steps.ts'
import { Universe } from './universe.ts'

const DEFAULT_RUNS = 2_000
const PROCESSES = 2
/** Instead of a path: it is one of the processes. */
const PART = 'part'
/** A file system in memory, where there is one. */
const MEMORY = '/dev/shm'
/** A shorter story is looked for only so long. */
const MAX_SHRINKS = 300

const say = (line: string) => void process.stdout.write(`${line}\n`)
const [runs = `${DEFAULT_RUNS}`, seed = `${Date.now() % 1_000_000}`, path] = process.argv.slice(2)
if (path === undefined) await playAll(Number(runs), Number(seed))
else await playSome(Number(runs), Number(seed), path === PART ? undefined : path)

async function playAll(all: number, first: number): Promise<void> {
  say(`${all} stories, seed ${first}`)
  const startedAt = performance.now()
  const codes = await Promise.all(
    Array.from({ length: PROCESSES }, async (_, i) => {
      const share = Math.floor(all / PROCESSES) + (i < all % PROCESSES ? 1 : 0)
      if (share === 0) return 0
      const options = [`${share}`, `${first + i}`, PART]
      const part = fork(fileURLToPath(import.meta.url), options, { env: inMemory(process.env) })
      const [code] = await once(part, 'exit')
      return code as number | null
    }),
  )
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  const isKept = codes.every((code) => code === 0)
  say(isKept ? `every promise was kept, in ${seconds} s` : `a promise was broken (seed ${first})`)
  process.exitCode = isKept ? 0 : 1
}

/** Nothing here depends on what survives a loss of power, and disks are slow to sync. */
function inMemory(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return existsSync(MEMORY) ? { ...environment, TMPDIR: MEMORY } : environment
}

async function playSome(numRuns: number, seed: number, path: string | undefined): Promise<void> {
  const universe = new Universe()
  let failures = 0
  const property = fc.asyncProperty(stories, async (story) => {
    // Once it has been tried often enough, everything shorter counts as kept.
    if (failures > MAX_SHRINKS) return
    try {
      await play(story, universe)
    } catch (error) {
      failures++
      throw error
    } finally {
      if (failures > 0) failures++
    }
  })
  const details = await fc.check(property, {
    numRuns,
    seed,
    ...(path === undefined ? {} : { path, endOnFailure: true }),
  })
  if (!details.failed) return
  say(`BROKEN: replay with \`npm run model -- 1 ${details.seed} ${details.counterexamplePath}\``)
  say(JSON.stringify(details.counterexample))
  const { errorInstance } = details
  say(errorInstance instanceof Error ? `${errorInstance.stack}` : String(errorInstance))
  process.exitCode = 1
}
