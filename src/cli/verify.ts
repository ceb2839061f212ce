/** `larder verify`. Results go to standard output, messages and progress to standard error. */
import { Command } from 'commander'

import type { Verified } from '../admin/ports/verification.ts'
import type { Surroundings } from '../config/surroundings.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addStoreOptions,
  outputOption,
} from './admin-client.ts'
import { type Ask, followEvents } from './event-lines.ts'
import { ExitError } from './exit.ts'
import { formatBytes } from './format.ts'
import { Progress } from './progress.ts'
import type { Terminal } from './terminal.ts'

const EXIT_INTEGRITY = 4

interface VerifyOptions extends AdminClientOptions {
  readonly repair?: true
  readonly output: 'table' | 'json'
}

/** A line of the stream; see the admin API's `/verify`. */
type Line =
  | { readonly event: 'started' }
  | {
      readonly event: 'progress'
      readonly checked: number
      readonly total: number
      readonly bytes: number
    }
  | ({ readonly event: 'fault' } & Fault)

interface Fault {
  readonly digest: string
  readonly fault: 'damaged' | 'missing'
}

const NEXT = 'the next pull fetches it again, and --repair does so now'

const EXAMPLES = `
Reads everything that is stored, and hashes it. What is damaged is put aside and never served; it is
fetched again by the next pull, or at once with --repair. Ends with 4 if anything stays damaged or
missing. Ctrl-C ends the verification on the server too. Without a server, with --data-dir, it is
fetched from the registries of the configuration that -c names.

Examples:
  larder verify
  larder verify --repair -o json
  larder verify --data-dir /var/lib/larder
  larder verify --data-dir /var/lib/larder --repair -c /etc/larder/larder.yaml`

export function verifyCommand(io: Surroundings, terminal: Terminal): Command {
  const command = new Command('verify')
    .description('check every stored byte against its digest')
    .option('--repair', 'fetch what is damaged or missing again')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action((options: VerifyOptions) => verify(options, io, terminal))
}

async function verify(
  options: VerifyOptions,
  io: Surroundings,
  { isWatched }: Terminal,
): Promise<void> {
  const { repair, output } = options
  await using client = await AdminClient.open(options, io)
  const monotonic = () => performance.now()
  const progress = new Progress({ stderr: io.stderr, isWatched, monotonic })
  const faults: Fault[] = []
  const report = ({ digest, fault }: Fault) => {
    faults.push({ digest, fault })
    progress.clear()
    if (output === 'table') io.stdout.write(`${fault.padEnd(7)}  ${digest}\n`)
  }
  try {
    const ask = (signal: AbortSignal) => client.stream('/verify', { repair }, signal)
    const result = await follow(ask, progress, report)
    progress.clear()
    print(result, faults, output, io)
    const isLeft = result.unrepaired.length > 0
    if (isLeft && repair !== true) io.stderr.write(`${NEXT}\n`)
    if (result.damaged + result.missing > result.repaired) throw new ExitError(EXIT_INTEGRITY)
  } finally {
    progress.clear()
  }
}

function follow(ask: Ask, progress: Progress, report: (fault: Fault) => void): Promise<Verified> {
  return followEvents<Line, Verified>(ask, 'the verification', (line) => {
    switch (line.event) {
      case 'started':
        break
      case 'progress':
        progress.show(`${line.checked} of ${line.total} checked, ${formatBytes(line.bytes)} read`)
        break
      case 'fault':
        report(line)
        break
      default:
        line satisfies never
    }
  })
}

function print(
  result: Verified,
  faults: readonly Fault[],
  output: 'table' | 'json',
  { stdout }: Pick<Surroundings, 'stdout'>,
): void {
  if (output === 'json') {
    stdout.write(`${JSON.stringify({ ...result, faults }, undefined, 2)}\n`)
    return
  }
  const { checked, ok, damaged, missing, repaired } = result
  stdout.write(
    `${checked} checked: ${ok} ok, ${damaged} damaged, ${missing} missing, ${repaired} repaired\n`,
  )
  for (const { digest, places } of result.unrepaired) {
    if (places.length > 0) stdout.write(`${digest} is of ${places.join(', ')}\n`)
  }
}
