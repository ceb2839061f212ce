/** `larder gc`. Results go to standard output, messages to standard error. */
import { Command } from 'commander'

import type { Surroundings } from '../config/surroundings.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addStoreOptions,
  outputOption,
} from './admin-client.ts'
import { printRemoved, type RemovedAnswer } from './removed.ts'

interface GcOptions extends AdminClientOptions {
  readonly dryRun?: true
  readonly olderThan?: string
  readonly output: 'table' | 'json'
}

const EXAMPLES = `
Examples:
  larder gc --dry-run
  larder gc --older-than 1h
  larder gc --data-dir /var/lib/larder`

export function gcCommand(io: Surroundings): Command {
  const command = new Command('gc')
    .description('remove what nothing names any more: manifests, orphans, parts of downloads')
    .option('--dry-run', 'only say what would go')
    .option('--older-than <duration>', 'leave what is younger, such as 1h')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action(async (options: GcOptions) => {
    const { dryRun = false, olderThan, output } = options
    await using client = await AdminClient.open(options, io)
    const removed = await client.post('/gc', { dryRun, olderThan })
    printRemoved(removed as RemovedAnswer, { dryRun, output }, io)
  })
}
