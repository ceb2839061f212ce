/** `larder ls`. Results go to standard output, messages to standard error. */
import { Command, InvalidArgumentError, Option } from 'commander'

import type { ImageSummary } from '../admin/ports/images.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { AdminClient, type AdminClientOptions, addStoreOptions } from './admin-client.ts'
import { ExitError } from './exit.ts'
import { formatBytes, formatTime } from './format.ts'
import { platformsOf, stateOf } from './image-summary.ts'
import { printableJson } from './printable.ts'
import { toColumns } from './table.ts'

const EXIT_NOT_FOUND = 6
const PAGE = 500

interface LsOptions extends AdminClientOptions {
  readonly sort: 'name' | 'size' | 'last-use' | 'pulls'
  readonly unusedFor?: string
  readonly limit?: number
  readonly output: 'table' | 'json' | 'name'
}

interface ImagesAnswer {
  readonly images: readonly ImageSummary[]
  readonly next?: string
}

const EXAMPLES = `
PATTERN is a glob over <registry>/<repository>:<tag>, or any part of that. SIZE is what is here of an
image; SHARED is how much of it others have too, and stays when it is purged. PULLS is how often nodes
have got it; LAST USE is when they last did, or when it was last preloaded or imported.

Examples:
  larder ls
  larder ls nginx
  larder ls 'ghcr.io/acme/**:v1*' --sort size --limit 20
  larder ls --sort pulls --limit 20
  larder ls --unused-for 30d --sort last-use
  larder ls --unused-for 90d -o name | xargs larder purge --yes
  larder ls --data-dir /var/lib/larder

Exit codes: 0 ok, 6 nothing matches PATTERN.`

export function lsCommand(io: Surroundings): Command {
  const command = new Command('ls')
    .description('list the images that are in the cache')
    .argument('[pattern]', 'a glob, or a part of a name')
    .addOption(
      new Option('--sort <order>', 'by name, or largest, used last, or pulled most often first')
        .choices(['size', 'last-use', 'pulls', 'name'])
        .default('name'),
    )
    .option('--unused-for <duration>', 'only what was not used for that long, such as 30d')
    .option('--limit <count>', 'only the first so many', positive)
    .addOption(
      new Option('-o, --output <format>').choices(['table', 'json', 'name']).default('table'),
    )
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action(
    async (pattern: string | undefined, options: LsOptions) => {
      await using client = await AdminClient.open(options, io)
      const images = await list(client, pattern, options)
      print(images, options.output, io)
      if (images.length > 0) return
      if (pattern !== undefined) throw new ExitError(EXIT_NOT_FOUND, `nothing here is ${pattern}`)
      io.stderr.write('nothing is here\n')
    },
  )
}

async function list(
  client: AdminClient,
  pattern: string | undefined,
  { sort, unusedFor, limit = Number.POSITIVE_INFINITY }: LsOptions,
): Promise<readonly ImageSummary[]> {
  const images: ImageSummary[] = []
  for (let after: string | undefined; ; ) {
    const query = new URLSearchParams({
      sort,
      limit: String(Math.min(PAGE, limit - images.length)),
    })
    if (pattern !== undefined) query.set('search', pattern)
    if (unusedFor !== undefined) query.set('unusedFor', unusedFor)
    if (after !== undefined) query.set('after', after)
    const answer = (await client.get(`/images?${query}`)) as ImagesAnswer
    images.push(...answer.images)
    after = answer.next
    if (after === undefined || images.length >= limit) return images
  }
}

function print(
  images: readonly ImageSummary[],
  output: LsOptions['output'],
  { stdout }: Surroundings,
): void {
  if (output === 'json') stdout.write(printableJson({ images }))
  else for (const line of linesOf(images, output)) stdout.write(`${line}\n`)
}

function linesOf(images: readonly ImageSummary[], output: 'table' | 'name'): readonly string[] {
  if (output === 'name') return toColumns(images.map(({ name }) => [name]))
  if (images.length === 0) return []
  const header = ['NAME', 'SIZE', 'SHARED', 'PULLS', 'LAST USE', 'PLATFORMS', 'STATE']
  return toColumns([header, ...images.map(rowOf)])
}

function rowOf(image: ImageSummary): readonly string[] {
  const { name, tags, bytes, sharedBytes, pulls, lastUsedAt } = image
  const others = tags.length > 1 ? ` (+${tags.length - 1})` : ''
  return [
    `${name}${others}`,
    formatBytes(bytes),
    sharedBytes === 0 ? '-' : formatBytes(sharedBytes),
    String(pulls),
    lastUsedAt === undefined ? '-' : formatTime(lastUsedAt),
    platformsOf(image),
    stateOf(image),
  ]
}

function positive(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a number from 1')
}
