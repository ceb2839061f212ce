/**
 * Larder against distribution's proxy mode, with nginx as the floor, all in the same run.
 * `npm run bench -- --help` says what can be chosen. Needs `docker-registry`, `nginx` and `cc`.
 */
import { parseArgs } from 'node:util'

import { type Contest, hold, runCommand } from './command.ts'
import { helpOf, OPTIONS, toChoice } from './options.ts'
import type { Server } from './proc.ts'
import type { Role } from './scenarios/scenario.ts'
import { createScenarios, QUICK } from './scenarios.ts'
import { startLarder, startNginx, startPeer } from './servers.ts'

const HELP = `Usage: npm run bench -- [options]
  --quick           only ${QUICK.join(', ')}
  --peers-only      without Larder
${helpOf(createScenarios(), 'first section')}`

async function main(): Promise<void> {
  const own = {
    quick: { type: 'boolean', default: false },
    'peers-only': { type: 'boolean', default: false },
  } as const
  const { values } = parseArgs({ options: { ...OPTIONS, ...own } })
  if (values.help) return void process.stdout.write(HELP)
  const only = values.only ?? (values.quick ? QUICK.join(',') : undefined)
  await hold(contest(values['peers-only']), toChoice({ ...values, only }, createScenarios()))
}

function contest(peersOnly: boolean): Contest {
  return {
    section: { heading: '# Figures', command: 'npm run bench -- --write' },
    own: 'larder',
    conditions: [],
    async start(place, upstream, stack) {
      const servers = new Map<Role, Server>()
      if (!peersOnly) servers.set('larder', stack.use(await startLarder(place, upstream)))
      servers.set('distribution', stack.use(await startPeer(place, upstream)))
      servers.set('nginx', stack.use(await startNginx(place, upstream)))
      return servers
    },
  }
}

await runCommand(main)
