/** `larder check`. Results go to standard output, messages and progress to standard error. */
import { Command } from 'commander'

import type { CheckResult } from '../airgap/check.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { formatPlatform } from '../oci/platform.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addStoreOptions,
  outputOption,
} from './admin-client.ts'
import { followEvents } from './event-lines.ts'
import { ExitError } from './exit.ts'
import { count, formatBytes } from './format.ts'
import {
  addImageOptions,
  type ImageOptions,
  imagesRequest,
  readNames,
  SOURCES_HELP,
} from './image-options.ts'
import { runPreload } from './preload-run.ts'
import { toColumns } from './table.ts'
import type { Terminal } from './terminal.ts'

const EXIT_PARTIAL = 3

interface CheckOptions extends AdminClientOptions, ImageOptions {
  readonly hash?: true
  readonly fetch?: true
  readonly output: 'table' | 'json'
}

/** A line of the admin API's `/check`. */
type Line = { readonly event: 'started' } | ({ readonly event: 'image' } & Checked)

interface Checked {
  readonly image: string
  readonly complete: boolean
  readonly missing: readonly Missing[]
  readonly reason?: string
}

interface Missing {
  readonly digest: string
  readonly kind: 'manifest' | 'blob'
  /** Bytes; -1: not known. */
  readonly size: number
  readonly platform?: { readonly os: string; readonly architecture: string }
  readonly lack: 'missing' | 'damaged' | 'unconfirmed'
}

interface Outcome {
  readonly images: readonly Checked[]
  readonly result: CheckResult
}

const EXAMPLES = `${SOURCES_HELP}

Says whether exactly these images could be pulled with the network cut: follows each to its last
layer in the store, and asks no registry. With --hash every byte is read and hashed, too, and what is
damaged is put aside. With --fetch what is missing is fetched, and all is looked at again.

Examples:
  larder check k3s-images.txt
  larder check manifests/ --platform linux/arm64 --hash
  larder check images.txt --fetch
  larder check images.txt --data-dir /var/lib/larder

Exit codes: 0 nothing is missing, 3 something is, 2 nothing names an image.`

export function checkCommand(
  io: Surroundings,
  terminal: Terminal,
  stdin: AsyncIterable<Uint8Array> = process.stdin,
): Command {
  const command = new Command('check')
    .description('say whether images could be pulled without a network')
    .argument('<source...>', 'files, folders, - for standard input, or images')
  addImageOptions(command)
    .option('--hash', 'read and hash every byte')
    .option('--fetch', 'fetch what is missing, and look again')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action(async (sources: string[], options: CheckOptions) => {
    const { names, isPartial } = await readNames(sources, options, io, stdin)
    await using client = await AdminClient.open(options, io)
    let outcome = await check(client, names, options)
    const lacking = outcome.images.filter(({ complete }) => !complete).map(({ image }) => image)
    if (options.fetch === true && lacking.length > 0) {
      await fetchLacking(client, lacking, options, io, terminal)
      outcome = await check(client, names, options)
    }
    print(outcome, options.output, io)
    if (isPartial || outcome.result.incomplete > 0) throw new ExitError(EXIT_PARTIAL)
  })
}

async function check(
  client: AdminClient,
  names: readonly string[],
  options: CheckOptions,
): Promise<Outcome> {
  const { hash = false } = options
  const request = { ...imagesRequest(names, options), hash }
  const ask = (signal: AbortSignal) => client.stream('/check', request, signal)
  const images: Checked[] = []
  const result = await followEvents<Line, CheckResult>(ask, 'the check', (line) => {
    if (line.event === 'image') images.push(line)
  })
  return { images, result }
}

/** What cannot be had is said; what it means for the images the second look says. */
async function fetchLacking(
  client: AdminClient,
  names: readonly string[],
  options: CheckOptions,
  io: Surroundings,
  terminal: Terminal,
): Promise<void> {
  const { done } = await runPreload(client, imagesRequest(names, options), { io, terminal })
  if (!terminal.isWatched) return
  for (const { image, message } of done.failed) io.stderr.write(`failed: ${image}: ${message}\n`)
}

function print(
  { images, result }: Outcome,
  output: CheckOptions['output'],
  { stdout }: Pick<Surroundings, 'stdout'>,
): void {
  if (output === 'json') {
    const { images: total, ...sums } = result
    stdout.write(`${JSON.stringify({ ...sums, total, images }, undefined, 2)}\n`)
    return
  }
  const rows = images.flatMap(rowsOf)
  const header = ['IMAGE', 'LACK', 'DIGEST', 'SIZE', 'PLATFORM']
  const lines = rows.length === 0 ? [] : toColumns([header, ...rows])
  for (const line of lines) stdout.write(`${line}\n`)
  for (const { image, reason } of images) {
    if (reason !== undefined) stdout.write(`${image}: ${reason}\n`)
  }
  const { complete, incomplete, missingBytes } = result
  const total = count(result.images, 'image')
  const sums = `${complete} complete, ${incomplete} incomplete`
  const lacks = incomplete === 0 ? '' : `; ${formatBytes(missingBytes)} known to be missing`
  stdout.write(`${total}: ${sums}${lacks}\n`)
}

function rowsOf({ image, missing }: Checked): readonly (readonly string[])[] {
  return missing.map(({ digest, kind, size, platform, lack }) => [
    image,
    `${kind} ${lack}`,
    digest,
    size < 0 ? '-' : formatBytes(size),
    platform === undefined ? '-' : formatPlatform(platform),
  ])
}
