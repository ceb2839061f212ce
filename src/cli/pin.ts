/** `larder pin`. Results go to standard output, messages to standard error. */
import { Command } from 'commander'

import type { Pin } from '../admin/ports/pins.ts'
import type { Surroundings } from '../config/surroundings.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addStoreOptions,
  outputOption,
} from './admin-client.ts'
import { ExitError } from './exit.ts'
import { formatTime } from './format.ts'
import { toColumns } from './table.ts'

const EXIT_USAGE = 2
const EXIT_PARTIAL = 3
const EXIT_NOT_FOUND = 6

interface PinOptions extends AdminClientOptions {
  readonly pattern?: string
  readonly list?: true
  readonly follow?: true
  readonly expires?: string
  readonly output: 'table' | 'json'
}

interface PinsAnswer {
  readonly pins: readonly Pin[]
  readonly unknown?: readonly string[]
}

const EXAMPLES = `
A pinned tag keeps what it holds now; with --follow it keeps what the tag moves to.

Examples:
  larder pin ghcr.io/acme/app:v1 nginx@sha256:…
  larder pin --pattern 'registry.k8s.io/**:v1.31.*' --expires 90d
  larder pin --list
  larder pin --list --data-dir /var/lib/larder`

export function pinCommand(io: Surroundings): Command {
  const command = new Command('pin')
    .description('keep images whatever the cache has to make room for')
    .argument('[ref...]', 'images, such as ghcr.io/acme/app:v1')
    .option('--pattern <glob>', 'tags that match, such as docker.io/library/*:1.*')
    .option('--follow', 'let the pin move with its tag')
    .option('--expires <duration>', 'for how long, such as 30d; default: until unpinned')
    .option('--list', 'show what is pinned')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action(async (refs: string[], options: PinOptions) => {
    const { list = false, output } = options
    const request = list ? undefined : requestOf(refs, options)
    if (list && (refs.length > 0 || options.pattern !== undefined)) {
      throw new ExitError(EXIT_USAGE, '--list shows every pin: leave REF and --pattern out')
    }
    await using client = await AdminClient.open(options, io)
    const answer = await (request === undefined
      ? client.get('/pins')
      : client.post('/pins', request))
    const { pins, unknown = [] } = answer as PinsAnswer
    if (output === 'json') io.stdout.write(`${JSON.stringify(answer, undefined, 2)}\n`)
    else for (const line of pinTable(pins)) io.stdout.write(`${line}\n`)
    if (unknown.length === 0) return
    const message = unknown.map((name) => `${name}: not here: pull it first`).join('\n')
    throw new ExitError(pins.length > 0 ? EXIT_PARTIAL : EXIT_NOT_FOUND, message)
  })
}

/** Says by exactly one of two ways what `pin` and `unpin` are about. */
export function requireRefsOrPattern(refs: readonly string[], pattern: string | undefined): void {
  if (refs.length > 0 === (pattern === undefined)) return
  throw new ExitError(EXIT_USAGE, 'say either REF… or --pattern')
}

function requestOf(refs: readonly string[], { pattern, follow, expires }: PinOptions): object {
  requireRefsOrPattern(refs, pattern)
  return { references: refs.length > 0 ? refs : undefined, pattern, follow, expires }
}

function pinTable(pins: readonly Pin[]): readonly string[] {
  if (pins.length === 0) return []
  const header = ['NAME', 'HOLDS', 'FOLLOWS', 'OWNER', 'EXPIRES']
  const rows = pins.map(({ name, digest, kind, follows, owner, expiresAt }) => [
    name,
    digest === undefined ? (kind === 'pattern' ? '*' : '-') : digest.slice(0, 19),
    follows ? 'yes' : 'no',
    owner,
    expiresAt === undefined ? 'never' : formatTime(expiresAt),
  ])
  return toColumns([header, ...rows])
}
