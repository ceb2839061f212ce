/** `larder images`. Results go to standard output, messages to standard error. */
import { Command, Option } from 'commander'
import type { NamedImage } from '../airgap/sources/gather.ts'
import type { Note, Where } from '../airgap/sources/mention.ts'
import type { Surroundings } from '../config/surroundings.ts'
import { ExitError } from './exit.ts'
import { readImages, type SourceImages } from './source-images.ts'
import { toColumns } from './table.ts'

const EXIT_USAGE = 2
const EXIT_PARTIAL = 3
/** Of one level and source: a file of another kind may have something wrong on every line. */
const MAX_NOTES = 20

interface ImagesOptions {
  readonly why?: true
  readonly output: 'table' | 'json' | 'list'
}

const EXAMPLES = `
A source is a file, a folder, - for standard input, or an image. It may be a list of images,
Kubernetes YAML or JSON, a Compose file, a Chart.yaml, a kustomization, or a file of hauler, zarf,
oc-mirror, skopeo sync or regsync. What may be an image in arguments and variables is listed apart.

Examples:
  larder images k3s-images.txt manifests/ --why
  helm template web ./chart | larder images -
  larder images compose.yaml -o list > images.txt

Exit codes: 0 all was read, 3 some of it, 2 nothing.`

export function imagesCommand(
  io: Surroundings,
  stdin: AsyncIterable<Uint8Array> = process.stdin,
): Command {
  return new Command('images')
    .description('list the images that files name')
    .argument('<source...>', 'files, folders, - for standard input, or images')
    .option('--why', 'say where each is named')
    .addOption(
      new Option('-o, --output <format>').choices(['table', 'json', 'list']).default('table'),
    )
    .addHelpText('after', EXAMPLES)
    .action(async (sources: string[], options: ImagesOptions) => {
      const found = await readImages(sources, { cwd: io.cwd, stdin })
      for (const line of noteLines(found.notes)) io.stderr.write(`${line}\n`)
      if (found.hasSources) for (const line of show(found, options)) io.stdout.write(`${line}\n`)
      if (!found.hasErrors) return
      throw new ExitError(found.hasSources ? EXIT_PARTIAL : EXIT_USAGE)
    })
}

/** One line each: `level: file:line:column: path: message`. The first of each source, and how many more. */
export function noteLines(notes: readonly Note[]): readonly string[] {
  const groups = Map.groupBy(notes, ({ level, where }) => `${level} ${where.source}`)
  return [...groups.values()].flatMap((all) => {
    const lines = all.slice(0, MAX_NOTES).map(({ level, where, message }) => {
      const path = where.path === undefined ? '' : `${where.path.trim()}: `
      return `${level}: ${placeOf(where)}: ${printable(path)}${message}`
    })
    const [first] = all
    const more = all.length - lines.length
    if (first === undefined || more === 0) return lines
    return [...lines, `${first.level}: ${printable(first.where.source)}: and ${more} more`]
  })
}

function show(found: SourceImages, { output, why }: ImagesOptions): readonly string[] {
  switch (output) {
    case 'list':
      return found.images.map(({ name }) => name)
    case 'json':
      return [JSON.stringify(toJson(found), undefined, 2)]
    case 'table': {
      const maybe =
        found.maybe.length === 0 ? [] : ['', ...table('MAYBE', found.maybe, why === true)]
      return [...table('IMAGE', found.images, why === true), ...maybe]
    }
    default:
      return output satisfies never
  }
}

function table(title: string, images: readonly NamedImage[], why: boolean): readonly string[] {
  if (!why) return [title, ...images.map(({ name }) => name)]
  const rows = images.flatMap(({ name, mentions }) =>
    mentions.map(({ where }) => [name, placeOf(where), printable(where.path ?? '')]),
  )
  return toColumns([[title, 'WHERE', 'PATH'], ...rows])
}

function toJson({ images, maybe, notes }: SourceImages): object {
  const entryOf = ({ name, platforms, mentions }: NamedImage) => ({
    image: name,
    platforms,
    found: mentions.map(({ raw, where }) => ({ ...where, raw })),
  })
  return {
    images: images.map(entryOf),
    maybe: maybe.map(entryOf),
    notes: notes.map(({ level, where, message }) => ({ level, ...where, message })),
  }
}

function placeOf({ source, line, column }: Where): string {
  return [printable(source), line, column].filter((part) => part !== undefined).join(':')
}

/** Names and keys come from files: they may hold what a terminal would obey. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, '�')
}
