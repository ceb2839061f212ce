/**
 * The same Larder with one process and with workers, in turn. The load client needs processors too, a
 * third of what Larder needs and over TLS as much: on a machine with no more of them than workers, one
 * process beside an idle core that the client has is no measure. So everything, client included, is also
 * put on one core with one process, and on as many cores as there are workers with them: what twice the
 * machine is good for. `npm run bench:workers -- --help` says what can be chosen.
 */
import { mkdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { type Contest, hold, runCommand } from './command.ts'
import { helpOf, OPTIONS, parseCount, toChoice } from './options.ts'
import type { Server } from './proc.ts'
import type { Role } from './scenarios/scenario.ts'
import { createWorkersScenarios, type Layout } from './scenarios/workers.ts'
import { createScenarios } from './scenarios.ts'
import { startLarder } from './servers.ts'

const WORKERS = '2'

async function main(): Promise<void> {
  const own = { workers: { type: 'string', default: WORKERS } } as const
  const { values } = parseArgs({ options: { ...OPTIONS, ...own } })
  const layouts = layoutsOf(parseCount('--workers', values.workers))
  const scenarios = createWorkersScenarios(createScenarios(), layouts)
  if (values.help) {
    const usage = 'Usage: npm run bench:workers -- [options]\n'
    const text = `  --workers N       beside one process (default ${WORKERS})\n`
    return void process.stdout.write(`${usage}${text}${helpOf(scenarios, 'Workers')}`)
  }
  await hold(contest(layouts), toChoice(values, scenarios))
}

function layoutsOf(workers: number): readonly Layout[] {
  const all = `0-${Math.min(workers, availableParallelism()) - 1}`
  return [
    { setup: 'one process, one core', workers: 1, cpus: '0' },
    { setup: 'one process, all cores', workers: 1, cpus: all },
    { setup: 'workers, all cores', workers, cpus: all },
  ]
}

function contest(layouts: readonly Layout[]): Contest {
  const [last] = layouts.slice(-1)
  return {
    section: { heading: '## Workers', command: 'npm run bench:workers -- --write' },
    own: 'workers, all cores',
    conditions: [
      `${last?.workers} workers; all cores are ${last?.cpus}; the load client has the same cores`,
    ],
    async start(place, upstream, stack) {
      const servers = new Map<Role, Server>()
      for (const { setup, ...layout } of layouts) {
        const folder = join(place.folder, setup)
        await mkdir(folder)
        servers.set(setup, stack.use(await startLarder({ ...place, folder }, upstream, layout)))
      }
      return servers
    },
  }
}

await runCommand(main)
