/** `larder inspect`. Results go to standard output, messages to standard error. */
import { Command } from 'commander'

import type { ImageContent, ImageDetail } from '../admin/ports/images.ts'
import type { Surroundings } from '../config/surroundings.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addStoreOptions,
  outputOption,
} from './admin-client.ts'
import { ExitError } from './exit.ts'
import { formatBytes, formatTime } from './format.ts'
import { imagePath, stateOf } from './image-summary.ts'
import { printable, printableJson } from './printable.ts'
import { toColumns } from './table.ts'

const EXIT_NOT_FOUND = 6

interface InspectOptions extends AdminClientOptions {
  readonly raw?: true
  readonly output: 'table' | 'json'
}

const EXAMPLES = `
--raw writes the manifest byte by byte as its registry gave it: sha256sum of that is its digest.

Examples:
  larder inspect nginx:1.27
  larder inspect ghcr.io/acme/app@sha256:…
  larder inspect nginx --raw | sha256sum
  larder inspect nginx -o json --data-dir /var/lib/larder

Exit codes: 0 ok, 6 it is not here.`

export function inspectCommand(io: Surroundings): Command {
  const command = new Command('inspect')
    .description('say all that is known of one image: its layers, its history, its signatures')
    .argument('<ref>', 'an image, such as ghcr.io/acme/app:v1')
    .option('--raw', 'only its manifest, byte by byte')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action(async (ref: string, options: InspectOptions) => {
    await using client = await AdminClient.open(options, io)
    const image = (await client.get(imagePath(ref))) as ImageDetail
    if (options.raw === true) io.stdout.write(rawOf(image))
    else if (options.output === 'json') io.stdout.write(printableJson(image))
    else for (const line of linesOf(image)) io.stdout.write(`${line}\n`)
  })
}

function rawOf({ raw, name }: ImageDetail): string {
  if (raw !== undefined) return raw
  throw new ExitError(EXIT_NOT_FOUND, `the manifest of ${name} is not here: pull it first`)
}

function linesOf(image: ImageDetail): readonly string[] {
  return [
    ...toColumns(factsOf(image)),
    ...image.manifests.flatMap(({ platform, ...manifest }) => [
      '',
      printable([platform, manifest.digest].filter((part) => part !== undefined).join('  ')),
      ...toColumns([
        ['  DIGEST', 'SIZE', 'HERE', 'TYPE'],
        rowOf(manifest),
        ...manifest.layers.map(rowOf),
      ]),
    ]),
    ...section('REFERRER', 'SIZE', 'TYPE', referrersOf(image)),
    ...section('WAS', 'SINCE', '', historyOf(image)),
  ]
}

function factsOf(image: ImageDetail): readonly (readonly string[])[] {
  const { tag, tags, bytes, sharedBytes, lastUsedAt, mediaType, artifactType } = image
  const shared = sharedBytes === 0 ? '' : `, ${formatBytes(sharedBytes)} of it shared`
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['name', image.name],
    ['digest', image.digest],
    ['type', [mediaType, artifactType].filter((part) => part !== undefined).join(', ')],
    ['tags', tags.join(', ')],
    ['size', `${formatBytes(bytes)}${shared}`],
    ['state', stateOf(image)],
    ['pulls', pullsOf(image)],
    ['last use', lastUsedAt === undefined ? undefined : formatTime(lastUsedAt)],
    ['checked', tag && formatTime(tag.checkedAt)],
    ['refused', tag?.refusedAt === undefined ? undefined : formatTime(tag.refusedAt)],
    ...Object.entries(image.annotations).map(([key, value]) => [key, value] as const),
  ]
  return facts.flatMap(([key, value]) =>
    value === undefined || value === '' ? [] : [[key, value]],
  )
}

function pullsOf({ pulls, lastPulledAt }: ImageDetail): string {
  if (lastPulledAt === undefined) return 'none'
  return `${pulls}, the last ${formatTime(lastPulledAt)}`
}

function rowOf({ digest, size, here, mediaType }: ImageContent): readonly string[] {
  return [`  ${digest}`, size < 0 ? '?' : formatBytes(size), here ? 'yes' : 'no', mediaType]
}

function referrersOf({ referrers }: ImageDetail): readonly (readonly string[])[] {
  return referrers.map(({ digest, size, artifactType, mediaType }) => [
    digest,
    formatBytes(size),
    artifactType ?? mediaType,
  ])
}

/** Of a tag that has never moved there is nothing to tell. */
function historyOf({ tag }: ImageDetail): readonly (readonly string[])[] {
  const moves = tag?.history ?? []
  if (moves.length < 2) return []
  return moves.map(({ digest, seenAt }) => [digest, formatTime(seenAt), ''])
}

function section(
  first: string,
  second: string,
  third: string,
  rows: readonly (readonly string[])[],
): readonly string[] {
  return rows.length === 0 ? [] : ['', ...toColumns([[first, second, third], ...rows])]
}
