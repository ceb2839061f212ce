/** `larder import`. Results go to standard output, messages and progress to standard error. */
import { Command } from 'commander'

import { TAR_TYPE } from '../admin/media-types.ts'
import { ArchiveError } from '../airgap/bundle/errors.ts'
import type { ImportResult } from '../airgap/bundle/import.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { exitErrorOf, failureOf } from './admin-answers.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addStoreOptions,
  outputOption,
} from './admin-client.ts'
import { type ArchiveFile, findArchives } from './archive-files.ts'
import { ExitError } from './exit.ts'
import { count, formatBytes } from './format.ts'
import { Progress } from './progress.ts'
import { toColumns } from './table.ts'
import type { Terminal } from './terminal.ts'

const EXIT_FAILURE = 1
const EXIT_PARTIAL = 3
const EXIT_INTEGRITY = 4

interface ImportOptions extends AdminClientOptions {
  readonly pin?: true
  readonly as?: string
  readonly dryRun?: true
  readonly output: 'table' | 'json'
}

/** A line of the stream; see the admin API's `/import`. */
type Line =
  | { readonly event: 'started' }
  | { readonly event: 'progress'; readonly bytes: number; readonly blobs: number }
  | ({ readonly event: 'image' } & ImageLine)
  | { readonly event: 'warning'; readonly message: string }
  | ({ readonly event: 'done' } & Done)
  | { readonly event: 'failed'; readonly error: unknown }

interface ImageLine {
  readonly image: string
  readonly digest?: string
  readonly state: 'published' | 'unchanged' | 'refused'
  readonly reason?: string
}

interface Done extends ImportResult {
  readonly seconds: number
}

/** What came of one archive. */
interface Imported extends Done {
  readonly archive: string
  readonly list: readonly ImageLine[]
  readonly warnings: readonly string[]
}

/** Destroyed in the end: whoever still writes would wait for a reader, and we for them. */
type Input = AsyncIterable<Uint8Array> & { destroy?(): unknown }

const EXAMPLES = `
A file is an archive of images: a bundle of larder export, an OCI image layout (skopeo, ctr, crane,
BuildKit, hauler) or what docker save writes (k3s and RKE2 air-gap archives too), as a tar, or one that
gzip or zstd has compressed; a folder with an image layout; or - for standard input. Of volumes
(NAME.001 …) one is enough where the others lie beside it, and they may be named in any order.

Every byte is hashed before it is kept. An image can be pulled once all of it is here; what is refused
is said, and an import that was interrupted is repeated with the same command.

Examples:
  larder import bundle.tar.zst --pin
  larder import /media/*/bundle.tar.zst.0*
  docker save app:v1 | larder import -
  larder import image.tar --as ghcr.io/acme/app --dry-run
  larder import bundle.tar --data-dir /var/lib/larder

Exit codes: 0 all of it, 3 some images are refused, 4 the archive is damaged or made to do harm,
7 no room.`

export function importCommand(
  io: Surroundings,
  terminal: Terminal,
  stdin: Input = process.stdin,
): Command {
  const command = new Command('import')
    .description('bring images from archives, without a network')
    .argument('<file...>', 'archives, volumes, folders, or - for standard input')
    .option('--pin', 'keep the images whatever else has to go')
    .option('--as <name>', 'where images belong that do not say it, such as ghcr.io/acme/app')
    .option('--dry-run', 'read and check everything, and store nothing')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action((files: string[], options: ImportOptions) =>
    importArchives(files, options, io, terminal, stdin),
  )
}

async function importArchives(
  files: readonly string[],
  options: ImportOptions,
  io: Surroundings,
  terminal: Terminal,
  stdin: Input,
): Promise<void> {
  const done: Imported[] = []
  try {
    const archives = await findArchives(files, { cwd: io.cwd, stdin })
    await using client = await AdminClient.open(options, io)
    for (const archive of archives) {
      const imported = await importArchive(archive, options, client, io, terminal)
      done.push(imported)
      if (options.output === 'table') io.stdout.write(`${tableOf(imported, options)}\n`)
    }
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error
    throw new ExitError(EXIT_INTEGRITY, error.message, { cause: error })
  } finally {
    if (files.includes('-')) stdin.destroy?.()
  }
  if (options.output === 'json') io.stdout.write(`${JSON.stringify(jsonOf(done), undefined, 2)}\n`)
  if (done.some(({ images }) => images.refused > 0)) throw new ExitError(EXIT_PARTIAL)
}

async function importArchive(
  archive: ArchiveFile,
  options: ImportOptions,
  client: AdminClient,
  io: Surroundings,
  { isWatched }: Terminal,
): Promise<Imported> {
  const monotonic = () => performance.now()
  const progress = new Progress({ stderr: io.stderr, isWatched, monotonic })
  const startedAt = monotonic()
  let bytes = 0
  const onBytes = (more: number) => {
    bytes += more
  }
  const query = new URLSearchParams()
  if (options.as !== undefined) query.set('as', options.as)
  if (options.pin) query.set('pin', 'true')
  if (options.dryRun) query.set('dryRun', 'true')
  const lines = client.upload('/import', query, archive.open(onBytes), { mediaType: TAR_TYPE })
  try {
    return await follow(archive.name, lines as AsyncIterable<Line>, {
      progress: (blobs) =>
        progress.show(progressOf(archive, bytes, blobs, monotonic() - startedAt)),
      warn(message) {
        progress.clear()
        io.stderr.write(`warning: ${message}\n`)
      },
    })
  } catch (error) {
    throw named(error, archive)
  } finally {
    progress.clear()
  }
}

interface Watching {
  progress(blobs: number): void
  warn(message: string): void
}

async function follow(
  archive: string,
  lines: AsyncIterable<Line>,
  watching: Watching,
): Promise<Imported> {
  const list: ImageLine[] = []
  const warnings: string[] = []
  for await (const line of lines) {
    switch (line.event) {
      case 'started':
        break
      case 'progress':
        watching.progress(line.blobs)
        break
      case 'image': {
        const { event: _event, ...image } = line
        list.push(image)
        break
      }
      case 'warning':
        warnings.push(line.message)
        watching.warn(line.message)
        break
      case 'done': {
        const { event: _event, ...done } = line
        return { archive, ...done, list, warnings }
      }
      case 'failed': {
        const failure = failureOf(line)
        throw failure === undefined ? cut() : exitErrorOf(failure)
      }
      default:
        line satisfies never
    }
  }
  throw cut()
}

function progressOf({ size }: ArchiveFile, bytes: number, blobs: number, ms: number): string {
  const total = size === undefined ? '' : ` of ${formatBytes(size)}`
  const rate = formatBytes(bytes / Math.max(0.001, ms / 1000))
  return `${formatBytes(bytes)}${total}, ${rate}/s, ${count(blobs, 'content')}`
}

function tableOf(
  { list, images, addedBytes, seconds, bytes }: Imported,
  { dryRun }: ImportOptions,
) {
  const rows = list.map(({ image, digest, state, reason }) => [
    dryRun && state === 'published' ? 'would publish' : state,
    image,
    digest?.slice(0, 19) ?? '',
    reason ?? '',
  ])
  const { published, unchanged, refused } = images
  const what = `${published} ${dryRun ? 'to be published' : 'published'}, ${unchanged} unchanged, ${refused} refused`
  const added = dryRun ? '' : `, ${formatBytes(addedBytes)} new`
  const summary = `${what}; ${formatBytes(bytes)} read${added} in ${seconds} s`
  return [...toColumns([['STATE', 'IMAGE', 'DIGEST', 'REASON'], ...rows]), summary].join('\n')
}

function jsonOf(done: readonly Imported[]): object {
  return {
    archives: done.map(({ list, images, ...rest }) => ({ ...rest, counts: images, images: list })),
  }
}

function named(error: unknown, { name, suspicion }: ArchiveFile): unknown {
  const also = suspicion === undefined ? '' : `; ${suspicion}`
  if (error instanceof ExitError && error.exitCode === EXIT_INTEGRITY) {
    return new ExitError(EXIT_INTEGRITY, `${name}: ${error.message}${also}`, { cause: error })
  }
  if (error instanceof ArchiveError)
    return new ArchiveError(`${name}: ${error.message}${also}`, { cause: error })
  return error
}

function cut(): ExitError {
  const message = 'the import ended before its end: repeat it, and see the log of the server'
  return new ExitError(EXIT_FAILURE, message)
}
