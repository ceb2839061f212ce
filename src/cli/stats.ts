/** `larder stats`. Results go to standard output, messages to standard error. */
import { setTimeout } from 'node:timers/promises'

import { Command } from 'commander'

import type { OverviewReport, Traffic } from '../admin/ports/overview.ts'
import type { Surroundings } from '../config/surroundings.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addStoreOptions,
  outputOption,
} from './admin-client.ts'
import { ExitError } from './exit.ts'
import { count, formatBytes, formatDuration, formatTime } from './format.ts'
import { Interruption } from './interruption.ts'
import { printableJson } from './printable.ts'
import { Progress } from './progress.ts'
import { toColumns } from './table.ts'
import type { Terminal } from './terminal.ts'

const EXIT_USAGE = 2
const WATCH_MS = 2_000

export interface StatsOptions extends AdminClientOptions {
  readonly watch?: true
  readonly output: 'table' | 'json'
}

/** Settles after so many milliseconds, and costs nothing more once `signal` aborts. */
export type Pause = (ms: number, signal: AbortSignal) => Promise<unknown>

const PAUSE: Pause = (ms, signal) => setTimeout(ms, undefined, { signal })

const EXAMPLES = `
Numbers are those since the server has started, of the last 5 minutes and of a day; the metrics have them
for longer. What is saved is what clients got and no registry had to send for them; what was preloaded
is no loss, and saves what is pulled of it later.

Examples:
  larder stats
  larder stats --watch
  larder stats -o json | jq .requests.hitRatio
  larder stats --data-dir /var/lib/larder`

export function statsCommand(io: Surroundings, terminal: Terminal, pause: Pause = PAUSE): Command {
  const command = new Command('stats')
    .description('say what the cache is good for, how full it is, and whether pins are complete')
    .option('--watch', 'every 2 seconds, until Ctrl-C')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
  return addStoreOptions(command).action(async (options: StatsOptions) => {
    const { watch = false, output, dataDir } = options
    if (watch && dataDir !== undefined) {
      throw new ExitError(
        EXIT_USAGE,
        '--watch is for a running server: nothing moves in --data-dir',
      )
    }
    await using client = await AdminClient.open(options, io)
    const read = async () => (await client.get('/overview')) as OverviewReport
    if (watch) return await follow(read, options, io, terminal, pause)
    const report = await read()
    if (output === 'json') io.stdout.write(printableJson(report))
    else for (const line of linesOf(report, dataDir)) io.stdout.write(`${line}\n`)
  })
}

/** One block that is written over on a terminal, elsewhere one after the other; JSON a line each. */
async function follow(
  read: () => Promise<OverviewReport>,
  { output }: StatsOptions,
  { stdout }: Surroundings,
  { isWatched, size }: Terminal,
  pause: Pause,
): Promise<never> {
  using interruption = new Interruption('')
  const block = new Progress({
    stderr: stdout,
    isWatched,
    monotonic: () => performance.now(),
    size,
  })
  // A timer that is left would keep the process waiting for it.
  const ending = new AbortController()
  let isShown = false
  try {
    for (;;) {
      const report = await interruption.race(read())
      const lines = linesOf(report, undefined)
      if (output === 'json') stdout.write(`${JSON.stringify(report)}\n`)
      else if (isWatched) block.showAll(lines.slice(0, -1), lines.at(-1) ?? '')
      else stdout.write(`${lines.join('\n')}\n\n`)
      isShown = true
      await interruption.race(pause(WATCH_MS, ending.signal))
    }
  } finally {
    ending.abort()
    // The last block stays, and what comes after it begins below.
    if (isShown && isWatched && output === 'table') stdout.write('\n')
  }
}

/** @param dataDir of no server, which has had no requests */
function linesOf(report: OverviewReport, dataDir: string | undefined): readonly string[] {
  return toColumns([...(dataDir === undefined ? trafficOf(report) : []), ...keptOf(report)])
}

function trafficOf({ version, uptimeSeconds, startedAt, ...report }: OverviewReport) {
  const { requests, bytes, last5Minutes, last24Hours, warnings } = report
  const { served, fetched, preloaded, saved, hitRatio } = bytes
  const results = Object.entries(requests.byResult)
    .filter(([, amount]) => amount > 0)
    .map(([result, amount]) => `${result} ${amount}`)
  return [
    ['up', `${formatDuration(uptimeSeconds)}, since ${formatTime(startedAt)}, version ${version}`],
    ['requests', [requests.total, ...results].join(', ')],
    ['hit ratio', `${percent(requests.hitRatio)} of requests, ${percent(hitRatio)} of bytes`],
    ['served', formatBytes(served)],
    [
      'fetched',
      `${formatBytes(fetched)}${preloaded > 0 ? `, ${formatBytes(preloaded)} of it by preloads` : ''}`,
    ],
    ['saved', formatBytes(saved)],
    ['now', shortOf(last5Minutes)],
    ['24 h', shortOf(last24Hours)],
    ...warnings.map((warning) => ['warning', warning]),
  ]
}

/** `1200 requests, 98.0 % hits; 12 GiB served, 11 GiB saved` */
function shortOf({ requests, bytes }: Traffic): string {
  const pulls = `${count(requests.total, 'request')}, ${percent(requests.hitRatio)} hits`
  return `${pulls}; ${formatBytes(bytes.served)} served, ${formatBytes(bytes.saved)} saved`
}

function keptOf({ storage, pins }: OverviewReport): readonly (readonly string[])[] {
  const { usedBytes, quotaBytes, availableBytes, blobs, manifests, tags } = storage
  const share = quotaBytes > 0 ? ` (${percent(usedBytes / quotaBytes)})` : ''
  const used = `${formatBytes(usedBytes)} of ${formatBytes(quotaBytes)}${share}`
  const lack = pins.incomplete === 0 ? '' : ` (${formatBytes(pins.missingBytes)} missing)`
  const kept = `${pins.complete} complete, ${pins.incomplete} incomplete${lack}`
  return [
    ['disk', `${used}, ${formatBytes(availableBytes)} free`],
    [
      'content',
      [count(blobs, 'blob'), count(manifests, 'manifest'), count(tags, 'tag')].join(', '),
    ],
    ['pins', `${kept}, ${formatBytes(pins.pinnedBytes)}`],
  ]
}

/** Of nothing there is no share. */
function percent(share: number | undefined): string {
  return share === undefined ? '-' : `${(share * 100).toFixed(1)} %`
}
