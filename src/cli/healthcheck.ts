import { Command } from 'commander'

import { loadConfig } from '../config/load.ts'
import { adminUrlOf } from './admin-url.ts'
import { ExitError } from './exit.ts'

const TIMEOUT_MS = 4_000

/** `larder healthcheck`: for a container's health check, which has no shell and no curl. */
export function healthcheckCommand(): Command {
  return new Command('healthcheck')
    .description('ask the running server whether it lives; exit 1 when it does not')
    .option('-c, --config <file>', 'the configuration file')
    .option('--server <url>', 'the admin listener, instead of the one in the configuration')
    .action(async ({ config: file, server }: { config?: string; server?: string }) => {
      const url = server ?? (await adminUrl(file))
      const response = await fetch(new URL('/livez', url), {
        signal: AbortSignal.timeout(TIMEOUT_MS),
      }).catch((cause: unknown) => {
        throw new ExitError(1, `no answer from ${url}: is the server running?`, { cause })
      })
      if (!response.ok) throw new ExitError(1, `${url} answers ${response.status}`)
      process.stdout.write('ok\n')
    })
}

async function adminUrl(file: string | undefined): Promise<string> {
  const options = { env: process.env, cwd: process.cwd() }
  const { config } = await loadConfig(file === undefined ? options : { ...options, file })
  return adminUrlOf(config)
}
