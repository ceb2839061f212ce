/** `larder unpin`. Results go to standard output, messages to standard error. */
import { Command } from 'commander'

import type { Surroundings } from '../config/surroundings.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addStoreOptions,
  outputOption,
} from './admin-client.ts'
import { ExitError } from './exit.ts'
import { count } from './format.ts'
import { requireRefsOrPattern } from './pin.ts'

const EXIT_PARTIAL = 3
const EXIT_NOT_FOUND = 6

interface UnpinOptions extends AdminClientOptions {
  readonly pattern?: string
  readonly output: 'table' | 'json'
}

interface Unpinned {
  readonly unpinned: number
  readonly unknown: readonly string[]
}

const EXAMPLES = `
Takes the pin away, not the content: that goes when room is needed, or with larder purge.

Examples:
  larder unpin ghcr.io/acme/app:v1
  larder unpin --pattern 'registry.k8s.io/**:v1.31.*'
  larder unpin ghcr.io/acme/app:v1 --data-dir /var/lib/larder`

export function unpinCommand(io: Surroundings): Command {
  const command = new Command('unpin')
    .description('take pins away')
    .argument('[ref...]', 'images, as they were pinned')
    .option('--pattern <glob>', 'a pattern, as it was pinned')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action(async (refs: string[], options: UnpinOptions) => {
    const { pattern, output } = options
    requireRefsOrPattern(refs, pattern)
    const query = new URLSearchParams(refs.map((ref) => ['reference', ref]))
    if (pattern !== undefined) query.set('pattern', pattern)
    await using client = await AdminClient.open(options, io)
    const answer = (await client.delete('/pins', query)) as Unpinned
    const { unpinned, unknown } = answer
    const isJson = output === 'json'
    const text = isJson
      ? JSON.stringify(answer, undefined, 2)
      : `took ${count(unpinned, 'pin')} away`
    io.stdout.write(`${text}\n`)
    if (unknown.length === 0) return
    const message = unknown.map((name) => `${name}: not pinned`).join('\n')
    throw new ExitError(unpinned > 0 ? EXIT_PARTIAL : EXIT_NOT_FOUND, message)
  })
}
