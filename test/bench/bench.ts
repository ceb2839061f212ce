/**
 * Larder against distribution's proxy mode, with nginx as the floor, all in the same run.
 * `npm run bench -- --help` says what can be chosen. Figures go to standard output, progress to
 * standard error. Needs `docker-registry`, `nginx` and `cc`.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import { Pusher } from './content.ts'
import { LoadClient } from './load.ts'
import { describeMachine } from './machine.ts'
import type { Server } from './proc.ts'
import { formatFigures, formatVerdicts, judge, type Result } from './report.ts'
import { runScenario } from './sample.ts'
import type { Bench, Role, Scenario } from './scenarios/scenario.ts'
import { createScenarios, QUICK } from './scenarios.ts'
import { type Place, startLarder, startNginx, startPeer, startUpstream } from './servers.ts'

const HELP = `Usage: npm run bench -- [options]
  --rounds N        measurements of each server, in turn (default 5)
  --quick           three rounds of ${QUICK.join(', ')}
  --only A,B        only these scenarios: ${createScenarios()
    .map(({ name }) => name)
    .join(', ')}
  --peers-only      without Larder
  --blob-mib N      size of the blob (default 128)
  --seconds N       length of a measurement of small answers (default 3)
  --warm-gib N      what a measurement of warm blobs moves (default 4)
  --access-log      every server writes a line for each request (default: none does)
  --json            everything measured, as JSON
  --write           the tables also into test/bench/RESULTS.md
`

/** What follows is written by people, and stays. */
const NOTES = '\n## Where the time goes\n'

interface Choice {
  readonly rounds: number
  readonly scenarios: readonly Scenario[]
  readonly peersOnly: boolean
  readonly blobMib: number
  readonly seconds: number
  readonly warmGib: number
  readonly accessLog: boolean
  readonly json: boolean
  readonly write: boolean
}

async function main(args: readonly string[]): Promise<void> {
  const choice = parseChoice(args)
  if (choice === undefined) return void process.stdout.write(HELP)
  await using stack = new AsyncDisposableStack()
  const stop = () => void stack.disposeAsync().finally(() => process.exit(130))
  process.once('SIGINT', stop).once('SIGTERM', stop)
  const machine = describeMachine()
  const bench = await prepare(choice, stack)
  const results: Result[] = []
  for (const scenario of choice.scenarios) {
    // What was measured before it, and takes long, is not lost.
    const series = await runScenario(bench, scenario, choice.rounds, report).catch(failed)
    if (series !== undefined) results.push({ scenario, series })
  }
  await print(choice, machine, results)
}

function parseChoice(args: readonly string[]): Choice | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      'peers-only': { type: 'boolean', default: false },
      'blob-mib': { type: 'string', default: '128' },
      seconds: { type: 'string', default: '3' },
      'warm-gib': { type: 'string', default: '4' },
      'access-log': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  return {
    rounds: parseCount('--rounds', values.rounds ?? (values.quick ? '3' : '5')),
    scenarios: selectScenarios(values.only ?? (values.quick ? QUICK.join(',') : undefined)),
    peersOnly: values['peers-only'],
    blobMib: parseCount('--blob-mib', values['blob-mib']),
    seconds: parseCount('--seconds', values.seconds),
    warmGib: parseCount('--warm-gib', values['warm-gib']),
    accessLog: values['access-log'],
    json: values.json,
    write: values.write,
  }
}

function parseCount(option: string, text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1)
    throw new Error(`${option} takes a whole number from 1`)
  return count
}

function selectScenarios(only: string | undefined): readonly Scenario[] {
  const all = createScenarios()
  if (only === undefined) return all
  return only.split(',').map((name) => {
    const found = all.find((scenario) => scenario.name === name)
    if (found === undefined) throw new Error(`no scenario ${name}; see --help`)
    return found
  })
}

async function prepare(choice: Choice, stack: AsyncDisposableStack): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), 'larder-bench-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const client = await LoadClient.compile(folder)
  const place: Place = { folder, accessLog: choice.accessLog }
  const upstream = stack.use(await startUpstream(place))
  const isSecure = choice.scenarios.some((scenario) => scenario.isSecure)
  const secure = isSecure ? await placeOverTls(place) : undefined
  return {
    client,
    pusher: new Pusher(upstream.url),
    upstream,
    servers: await startAll(choice, place, upstream, stack),
    secure: secure === undefined ? new Map() : await startAll(choice, secure, upstream, stack),
    blobBytes: choice.blobMib * 2 ** 20,
    seconds: choice.seconds,
    warmBytes: choice.warmGib * 2 ** 30,
  }
}

async function startAll(
  { peersOnly }: Choice,
  place: Place,
  upstream: Server,
  stack: AsyncDisposableStack,
): Promise<ReadonlyMap<Role, Server>> {
  const servers = new Map<Role, Server>()
  if (!peersOnly) servers.set('larder', stack.use(await startLarder(place, upstream)))
  servers.set('distribution', stack.use(await startPeer(place, upstream)))
  servers.set('nginx', stack.use(await startNginx(place, upstream)))
  return servers
}

async function placeOverTls({ accessLog, folder }: Place): Promise<Place> {
  const own = join(folder, 'tls')
  const tls = { certFile: join(own, 'cert.pem'), keyFile: join(own, 'key.pem') }
  await mkdir(own)
  await writeFile(tls.certFile, LOOPBACK_CERT)
  await writeFile(tls.keyFile, LOOPBACK_KEY)
  return { folder: own, accessLog, tls }
}

async function print(
  choice: Choice,
  machine: readonly string[],
  results: readonly Result[],
): Promise<void> {
  const verdicts = judge(results)
  const conditions = [
    ...machine,
    `${choice.rounds} rounds in turn, median (least–most); blob ${choice.blobMib} MiB; ` +
      `access logs ${choice.accessLog ? 'on' : 'off'}; loopback`,
  ]
  const found = [formatVerdicts(verdicts), formatFigures(results)].filter((table) => table !== '')
  const tables = `${found.join('\n\n')}\n`
  if (choice.json) {
    const scenarios = results.map(({ scenario, series }) => ({ name: scenario.name, series }))
    process.stdout.write(`${JSON.stringify({ conditions, verdicts, scenarios }, undefined, 2)}\n`)
  } else {
    process.stdout.write(`${conditions.join('\n')}\n\n${tables}`)
  }
  if (!choice.write) return
  const file = join(import.meta.dirname, 'RESULTS.md')
  const [, notes] = (await readFile(file, 'utf8')).split(NOTES)
  await writeFile(file, page(conditions, tables, notes))
}

function page(conditions: readonly string[], tables: string, notes: string | undefined): string {
  const list = conditions.map((line) => `- ${line}`).join('\n')
  const figures = `# Figures\n\nWritten by \`npm run bench -- --write\`.\n\n${list}\n\n${tables}`
  return notes === undefined ? figures : `${figures}${NOTES}${notes}`
}

function report(text: string): void {
  process.stderr.write(`${text}\n`)
}

function failed(error: unknown): undefined {
  report(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}

await main(process.argv.slice(2)).catch(failed)
