/** `larder export`. Results go to standard output, messages and progress to standard error. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { parseSize, SIZE_EXPECTED } from '../config/sizes.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { AdminClient, type AdminClientOptions, addStoreOptions } from './admin-client.ts'
import { ExitError } from './exit.ts'
import { readBase } from './export-base.ts'
import { incompleteLines, type PlanAnswer } from './export-plan.ts'
import { planned, printExported } from './export-result.ts'
import { ExportRun } from './export-run.ts'
import { type ExportTarget, filesOf, parseTarget } from './export-target.ts'
import { count } from './format.ts'
import {
  addImageOptions,
  type ImageOptions,
  imagesRequest,
  readNames,
  SOURCES_HELP,
} from './image-options.ts'
import type { Terminal } from './terminal.ts'
import { requireRoom } from './write-errors.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 2
const EXIT_PARTIAL = 3

export interface ExportOptions extends AdminClientOptions, ImageOptions {
  readonly output?: string
  readonly pattern?: readonly string[]
  readonly pinned?: true
  readonly since?: string
  readonly split?: number
  readonly allowIncomplete?: true
  readonly dryRun?: true
  readonly force?: true
  readonly format: 'table' | 'json'
}

const EXAMPLES = `${SOURCES_HELP}

Writes an OCI image layout, which larder import, skopeo, ctr and podman read. Only what is here whole
can be exported: larder check says what is missing, larder preload fetches it. -o names a .tar,
.tar.zst or .tar.gz, or a folder with a / at its end. Prefer .tar: layers are compressed already, so
the others take much longer and are hardly smaller, and ctr does not read them.

Beside the bundle come <file>.index.json, which says what is in it (keep it: --since needs no more), and
<file>.sha256 for sha256sum --check. With --split there are <file>.001, <file>.002 and so on. A bundle
made with --since has to be imported after the one that it names. The same content with the same tag
checks gives the same bytes.

Elsewhere: ctr images import site.tar; skopeo copy oci-archive:site.tar:NAME …; podman load -i site.tar
takes a bundle of one image, podman pull oci-archive:site.tar:NAME each of several. What --platform
left out they must not be asked for (--all, --all-platforms).

Examples:
  larder export -o site.tar images.txt
  larder export -o /media/usb/site.tar --split 2GiB --pinned
  larder export -o week-32.tar --since week-31.tar.index.json images.txt
  larder export -o layout/ --pattern 'ghcr.io/acme/*:v1*' --platform linux/amd64
  larder export -o site.tar --pinned --data-dir /var/lib/larder -c /etc/larder/larder.yaml

Exit codes: 0 all is written, 3 not all is here (nothing is written without --allow-incomplete),
4 something here was damaged, 6 nothing is here, 7 there is no room, 130 Ctrl-C.`

export function exportCommand(
  io: Surroundings,
  terminal: Terminal,
  stdin: AsyncIterable<Uint8Array> = process.stdin,
): Command {
  const command = new Command('export')
    .description('write images to a file, for a site without a network')
    .argument('[source...]', 'files, folders, - for standard input, or images')
    .option('-o, --output <file>', 'what to write: a .tar, .tar.zst, .tar.gz, or a folder/')
    .option(
      '--pattern <glob>',
      'tags here, such as docker.io/library/*:1.*; may be repeated',
      collect,
    )
    .option('--pinned', 'everything that is pinned')
  addImageOptions(command)
    .option('--since <bundle>', 'only what this bundle, or its .index.json, does not have')
    .option('--split <size>', 'files of at most this size, such as 4GiB', size)
    .option('--allow-incomplete', 'leave out images that are not whole, and say which')
    .option('--dry-run', 'only say what would be written')
    .option('--force', 'replace an earlier bundle of that name')
    .addOption(
      new Option('--format <format>', 'of the result').choices(['table', 'json']).default('table'),
    )
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action((sources: string[], options: ExportOptions) =>
    exportImages(sources, options, { io, terminal, stdin }),
  )
}

interface Given {
  readonly io: Surroundings
  readonly terminal: Terminal
  readonly stdin: AsyncIterable<Uint8Array>
}

async function exportImages(
  sources: readonly string[],
  options: ExportOptions,
  { io, terminal, stdin }: Given,
): Promise<void> {
  const { dryRun = false, force = false, since, allowIncomplete = false, format } = options
  requireSomething(sources, options)
  const target = await targetOf(options, io)
  if (target !== undefined) await requireFree(target, force)
  const named = sources.length === 0 ? undefined : await readNames(sources, options, io, stdin)
  if (named?.isPartial === true && !allowIncomplete) {
    throw new ExitError(EXIT_PARTIAL, 'not all sources could be read: nothing is written')
  }
  const base = since === undefined ? undefined : await readBase(since, io.cwd)
  const request = {
    ...(named === undefined ? platformsOf(options) : imagesRequest(named.names, options)),
    patterns: options.pattern ?? [],
    pinned: options.pinned ?? false,
    allowIncomplete,
    ...(base === undefined ? {} : { exclude: base }),
  }
  await using client = await AdminClient.open(options, io)
  const plan = (await client.post('/export/plan', request)) as PlanAnswer
  for (const line of incompleteLines([...plan.missing, ...plan.leftOut])) {
    io.stderr.write(`${line}\n`)
  }
  if (plan.missing.length > 0) throw notWhole(plan)
  if (target === undefined || dryRun) {
    printExported(planned(plan), { plan, format, io })
  } else {
    await requireRoomFor(target, plan)
    const run = new ExportRun({ client, request, plan, target, force, io, terminal })
    printExported(await run.run(), { plan, format, io })
  }
  if (plan.leftOut.length > 0 || named?.isPartial === true) throw new ExitError(EXIT_PARTIAL)
}

function requireSomething(
  sources: readonly string[],
  { pattern, pinned, output, dryRun }: ExportOptions,
): void {
  if (sources.length === 0 && pattern === undefined && pinned === undefined) {
    throw new ExitError(EXIT_USAGE, 'say what to export: sources, --pattern or --pinned')
  }
  if (output === undefined && dryRun !== true) {
    throw new ExitError(EXIT_USAGE, 'say where to with -o, or --dry-run')
  }
}

async function targetOf(
  { output, split }: ExportOptions,
  { cwd }: Surroundings,
): Promise<ExportTarget | undefined> {
  return output === undefined ? undefined : await parseTarget(output, cwd, split)
}

async function requireFree(target: ExportTarget, force: boolean): Promise<void> {
  const [first] = await filesOf(target)
  if (first === undefined || force) return
  throw new ExitError(EXIT_FAILURE, `${first} is there already: say --force to replace it`)
}

/** Of what is compressed nobody knows the size before. */
async function requireRoomFor(target: ExportTarget, { bytes }: PlanAnswer): Promise<void> {
  const isPlain = target.kind === 'folder' || target.compression === 'none'
  if (isPlain) await requireRoom(target.path, bytes)
}

function notWhole({ missing }: PlanAnswer): ExitError {
  const images = `${count(missing.length, 'image')} cannot be exported: nothing is written`
  const advice = 'larder preload fetches what is missing, --allow-incomplete leaves them out'
  return new ExitError(EXIT_PARTIAL, `${images}\n${advice}`)
}

function platformsOf({ platform, referrers }: ImageOptions): object {
  const { images: _none, ...rest } = imagesRequest([], {
    ...(platform === undefined ? {} : { platform }),
    ...(referrers === undefined ? {} : { referrers }),
  }) as { readonly images: unknown }
  return rest
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

function size(text: string): number {
  const bytes = parseSize(text)
  if (bytes === undefined || bytes < 1) throw new InvalidArgumentError(`${SIZE_EXPECTED}.`)
  return bytes
}
