/** `larder reload`. */
import { Command } from 'commander'

import { formatProblem, type Problem } from '../config/problems.ts'
import type { Surroundings } from '../config/surroundings.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addAdminOptions,
  outputOption,
} from './admin-client.ts'

interface ReloadOptions extends AdminClientOptions {
  readonly output: 'table' | 'json'
}

const EXAMPLES = `
Exit 2, and the configuration of before stays in use, when anything in the new one is wrong.

Examples:
  larder reload
  larder reload --server http://10.0.0.5:9090 --token-file /etc/larder/admin-token`

export function reloadCommand(io: Surroundings): Command {
  const command = new Command('reload')
    .description('have the running server read its configuration again')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
  return addAdminOptions(command).action(async (options: ReloadOptions) => {
    await using client = await AdminClient.open(options, io)
    const answer = (await client.post('/reload', {})) as { readonly warnings: readonly Problem[] }
    for (const { message, ...warning } of answer.warnings) {
      io.stderr.write(`${formatProblem({ ...warning, message: `warning: ${message}` })}\n`)
    }
    const isJson = options.output === 'json'
    io.stdout.write(isJson ? `${JSON.stringify(answer, undefined, 2)}\n` : 'reloaded\n')
  })
}
