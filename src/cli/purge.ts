/** `larder purge`. Results go to standard output, messages and questions to standard error. */
import { Command } from 'commander'

import type { Surroundings } from '../config/surroundings.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addStoreOptions,
  outputOption,
} from './admin-client.ts'
import { ExitError } from './exit.ts'
import { describeRemoved, printRemoved, type RemovedAnswer, requireRemoved } from './removed.ts'
import type { Terminal } from './terminal.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 2

interface PurgeOptions extends AdminClientOptions {
  readonly pattern?: string
  readonly upstream?: string
  readonly unusedFor?: string
  readonly downTo?: string
  readonly force?: true
  readonly dryRun?: true
  readonly yes?: true
  readonly output: 'table' | 'json'
}

const EXAMPLES = `
Exactly one of REF…, --pattern, --upstream, --unused-for and --down-to says what goes.

Examples:
  larder purge ghcr.io/acme/app:v1 nginx@sha256:…
  larder purge --pattern 'docker.io/library/*:1.*' --dry-run
  larder purge --unused-for 30d --yes
  larder purge --down-to 50GiB --yes
  larder purge --upstream ghcr.io --yes --data-dir /var/lib/larder -c /etc/larder/larder.yaml`

export function purgeCommand(io: Surroundings, terminal: Terminal): Command {
  const command = new Command('purge')
    .description('remove content from the cache, and say what that frees')
    .argument('[ref...]', 'images, such as ghcr.io/acme/app:v1')
    .option('--pattern <glob>', 'tags that match, such as docker.io/library/*:1.*')
    .option('--upstream <name>', "everything of an upstream's")
    .option('--unused-for <duration>', 'what nobody has pulled for that long, such as 30d')
    .option('--down-to <size>', 'least recently used first, until that much is left')
    .option('--force', 'what is pinned too, with its pins; with REF…, --pattern or --upstream')
    .option('--dry-run', 'only say what would go')
    .option('-y, --yes', 'do not ask')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action((refs: string[], options: PurgeOptions) =>
    purge(refs, options, io, terminal),
  )
}

async function purge(
  refs: readonly string[],
  options: PurgeOptions,
  io: Surroundings,
  terminal: Terminal,
): Promise<void> {
  const { force, dryRun = false, yes = false, output } = options
  const selection = selectionOf(refs, options)
  const mustAsk = !dryRun && !yes
  if (mustAsk && !terminal.canAsk) {
    const message = 'nobody is here to be asked: say --yes, or --dry-run to see what would go'
    throw new ExitError(EXIT_USAGE, message)
  }
  await using client = await AdminClient.open(options, io)
  const send = async (isDry: boolean) =>
    (await client.post('/purge', { ...selection, force, dryRun: isDry })) as RemovedAnswer
  if (mustAsk) {
    await confirm(await send(true), terminal)
  }
  const removed = await send(dryRun)
  printRemoved(removed, { output, dryRun }, io)
  const canForce = options.unusedFor === undefined && options.downTo === undefined
  requireRemoved(removed, { canForce })
}

async function confirm(would: RemovedAnswer, terminal: Terminal): Promise<void> {
  const answer = await terminal.ask(`This ${describeRemoved(would, true)}. Go on? [y/N] `)
  if (!/^y(?:es)?$/i.test(answer.trim())) throw new ExitError(EXIT_FAILURE, 'nothing was removed')
}

/** As the admin API takes it; what the texts mean is for the server to say. */
function selectionOf(refs: readonly string[], options: PurgeOptions): object {
  const { pattern, upstream, unusedFor, downTo } = options
  const references = refs.length > 0 ? refs : undefined
  const given = Object.entries({ references, pattern, upstream, unusedFor, downTo }).filter(
    ([, value]) => value !== undefined,
  )
  if (given.length === 1) return Object.fromEntries(given)
  throw new ExitError(
    EXIT_USAGE,
    'say what to purge by exactly one of REF…, --pattern, --upstream, --unused-for, --down-to',
  )
}
