import { Command } from 'commander'

import { loadConfig } from '../config/load.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { adminUrlOf } from './admin-url.ts'
import { ask } from './ask.ts'
import { ExitError } from './exit.ts'

const TIMEOUT_MS = 4_000

const EXAMPLES = `
Examples:
  larder healthcheck
  larder healthcheck --server http://127.0.0.1:9090`

/** `larder healthcheck`: for a container's health check, which has no shell and no curl. */
export function healthcheckCommand(io: Surroundings): Command {
  return new Command('healthcheck')
    .description('ask the running server whether it lives; exit 1 when it does not')
    .option('-c, --config <file>', 'the configuration file')
    .option('--server <url>', 'the admin listener, instead of the one in the configuration')
    .addHelpText('after', EXAMPLES)
    .action(async ({ config: file, server }: { config?: string; server?: string }) => {
      const url = server ?? (await adminUrl(file, io))
      const { status } = await ask(url, '/livez', TIMEOUT_MS).catch((cause: unknown) => {
        throw new ExitError(1, `no answer from ${url}: is the server running?`, { cause })
      })
      if (status !== 200) throw new ExitError(1, `${url} answers ${status}`)
      io.stdout.write('ok\n')
    })
}

async function adminUrl(file: string | undefined, { env, cwd }: Surroundings): Promise<string> {
  const { config } = await loadConfig({ env, cwd, ...(file === undefined ? {} : { file }) })
  return adminUrlOf(config)
}
