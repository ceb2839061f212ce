/** `larder preload`. Results go to standard output, messages and progress to standard error. */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'

import { Command, InvalidArgumentError, Option } from 'commander'

import type { RunDetail } from '../airgap/run-report.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { AdminClient, type AdminClientOptions, addStoreOptions } from './admin-client.ts'
import { ExitError } from './exit.ts'
import {
  addImageOptions,
  type ImageOptions,
  imagesRequest,
  readNames,
  SOURCES_HELP,
} from './image-options.ts'
import { exitCodeOf, tableOf } from './preload-result.ts'
import { type Preloaded, runPreload } from './preload-run.ts'
import type { Terminal } from './terminal.ts'

const EXIT_USAGE = 2

interface PreloadOptions extends AdminClientOptions, ImageOptions {
  readonly pin?: true
  readonly job?: string
  readonly parallel?: number
  readonly dryRun?: true
  readonly failedOut?: string
  readonly detach?: true
  readonly output: 'table' | 'json' | 'ndjson'
}

const EXAMPLES = `${SOURCES_HELP}

Fetches what is not here yet, as nodes that pull would, and lets those go first. To repeat it costs
nothing; what was interrupted goes on where it was. Ctrl-C ends it on the server too. With --job a
preload job of the server's configuration is run, whose sources the server reads.

Examples:
  larder preload k3s-images.txt --pin
  helm template web ./chart | larder preload - --platform linux/amd64 --platform linux/arm64
  larder preload manifests/ --dry-run
  larder preload --job base
  larder preload images.txt --failed-out again.txt
  larder preload images.txt --detach

Exit codes: 0 all is here, 3 some is not, 5 some is not and registries or credentials are why, 7 there
is no room, 2 nothing names an image, 130 Ctrl-C.`

export function preloadCommand(
  io: Surroundings,
  terminal: Terminal,
  stdin: AsyncIterable<Uint8Array> = process.stdin,
): Command {
  const command = new Command('preload')
    .description('fetch images, and all they need, before a node asks for them')
    .argument('[source...]', 'files, folders, - for standard input, or images')
  addImageOptions(command)
    .option('--pin', 'keep them until they are unpinned')
    .option('-j, --parallel <number>', 'contents fetched at a time (default: 8)', parallel)
    .option('--dry-run', 'fetch manifests only, and say what the rest would be')
    .addOption(
      new Option('--detach', 'only begin it, and print its id: see larder jobs').conflicts([
        'failedOut',
        'dataDir',
      ]),
    )
    .option('--failed-out <file>', 'write the names of images that failed to this file')
    .addOption(
      new Option('--job <name>', 'run this preload job of the configuration').conflicts([
        'platform',
        'pin',
        'maybe',
      ]),
    )
    .addOption(
      new Option('-o, --output <format>').choices(['table', 'json', 'ndjson']).default('table'),
    )
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action((sources: string[], options: PreloadOptions) =>
    preload(sources, options, { io, terminal, stdin }),
  )
}

interface Given {
  readonly io: Surroundings
  readonly terminal: Terminal
  readonly stdin: AsyncIterable<Uint8Array>
}

async function preload(
  sources: readonly string[],
  options: PreloadOptions,
  { io, terminal, stdin }: Given,
): Promise<void> {
  const { job, output, failedOut, dryRun = false } = options
  if ((job === undefined) === (sources.length === 0)) {
    throw new ExitError(EXIT_USAGE, 'say what to preload: sources, or a job with --job')
  }
  const named = job === undefined ? await readNames(sources, options, io, stdin) : undefined
  const request = {
    ...(named === undefined ? { job } : imagesRequest(named.names, options)),
    ...(options.pin === true ? { pin: true } : {}),
    ...(options.referrers === true ? { referrers: true } : {}),
    ...(options.parallel === undefined ? {} : { parallel: options.parallel }),
    dryRun,
  }
  await using client = await AdminClient.open(options, io)
  if (options.detach === true) return await begin(client, request, output, io)
  const onLine = (line: object) => void io.stdout.write(`${JSON.stringify(line)}\n`)
  const lines = output === 'ndjson' ? { onLine } : {}
  const preloaded = await runPreload(client, request, { io, terminal, ...lines })
  const { failed } = preloaded.done
  if (failedOut !== undefined) {
    await writeFile(resolve(io.cwd, failedOut), failed.map(({ image }) => `${image}\n`).join(''))
  }
  if (output === 'json') io.stdout.write(`${JSON.stringify(toJson(preloaded), undefined, 2)}\n`)
  if (output === 'table')
    for (const line of tableOf(preloaded, dryRun)) io.stdout.write(`${line}\n`)
  const code = exitCodeOf(failed, named?.isPartial ?? false)
  if (code !== 0) throw new ExitError(code)
}

/** It goes on by itself. */
async function begin(
  client: AdminClient,
  request: object,
  output: PreloadOptions['output'],
  { stdout }: Surroundings,
): Promise<void> {
  const job = (await client.post('/jobs', request)) as RunDetail
  stdout.write(output === 'table' ? `${job.id}\n` : `${JSON.stringify(job)}\n`)
}

function toJson({ images, done }: Preloaded): object {
  const list = [...images.values()].map(({ image, state, digest, bytes, fetchedBytes, error }) => ({
    image,
    state,
    digest,
    bytes,
    fetchedBytes,
    error,
  }))
  const { images: counts, ...rest } = done
  return { images: list, counts, ...rest }
}

function parallel(text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= 64) return value
  throw new InvalidArgumentError('expected a number from 1 to 64.')
}
