import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { makeTempDir } from '../support/temp-dir.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import { Pusher } from './content.ts'
import { LoadClient } from './load.ts'
import { describeMachine } from './machine.ts'
import type { Choice } from './options.ts'
import { type Section, writeSection } from './page.ts'
import type { Server } from './proc.ts'
import { describeClient, formatFigures, formatVerdicts, judge } from './report.ts'
import { type Outcome, runScenarios, SLOW_SECONDS } from './run.ts'
import type { Bench, Role } from './scenarios/scenario.ts'
import { type Place, startUpstream } from './servers.ts'

/** Of a process that SIGINT ended. */
const INTERRUPTED = 130

/** What is compared, and where the figures belong. */
export interface Contest {
  readonly section: Section
  /** Whose figures are judged. */
  readonly own: Role
  /** What is to be known of the run besides, one line each. */
  readonly conditions: readonly string[]
  start(
    place: Place,
    upstream: Server,
    stack: AsyncDisposableStack,
  ): Promise<ReadonlyMap<Role, Server>>
}

/** Figures go to standard output, progress to standard error. */
export async function hold(contest: Contest, choice: Choice): Promise<void> {
  const machine = describeMachine()
  await using dir = await makeTempDir('larder-bench-')
  await using running = new Running()
  const bench = await prepare(contest, choice, dir.path, running.servers)
  const progress = (text: string) => {
    running.throwIfStopped()
    report(text)
  }
  const outcome = await runScenarios(bench, choice.scenarios, choice.rounds, progress)
  running.throwIfStopped()
  if (outcome.failures.length > 0) process.exitCode = 1
  await publish(contest, choice, machine, outcome)
}

/** Runs a command's main function, and says why it could not. */
export async function runCommand(main: () => Promise<void>): Promise<void> {
  await main().catch((error: unknown) => {
    report(`bench: ${error instanceof Error ? error.message : String(error)}`)
    // Nobody else ends a server that was just being started.
    process.exit(process.exitCode ?? 1)
  })
}

/** The servers, until all is over or somebody interrupts it: without them nothing goes on for long. */
class Running implements AsyncDisposable {
  readonly servers = new AsyncDisposableStack()
  readonly #interrupt = () => void this.#end(INTERRUPTED)
  #ended: Promise<void> | undefined

  constructor() {
    process.once('SIGINT', this.#interrupt).once('SIGTERM', this.#interrupt)
  }

  /** @throws {Error} after an interruption */
  throwIfStopped(): void {
    if (this.#ended !== undefined) throw new Error('interrupted')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off('SIGINT', this.#interrupt).off('SIGTERM', this.#interrupt)
    await this.#end()
  }

  #end(exitCode?: number): Promise<void> {
    if (exitCode !== undefined) process.exitCode = exitCode
    this.#ended ??= this.servers.disposeAsync()
    return this.#ended
  }
}

async function prepare(
  contest: Contest,
  choice: Choice,
  folder: string,
  stack: AsyncDisposableStack,
): Promise<Bench> {
  const client = await LoadClient.compile(folder)
  const place: Place = { folder, accessLog: choice.accessLog }
  const upstream = stack.use(await startUpstream(place))
  const isSecure = choice.scenarios.some((one) => one.measures !== 'starts' && one.isSecure)
  return {
    client,
    pusher: new Pusher(upstream.url),
    upstream,
    servers: await contest.start(place, upstream, stack),
    secure: isSecure
      ? await contest.start(await placeOverTls(place), upstream, stack)
      : new Map<Role, Server>(),
    folder,
    blobBytes: choice.blobMib * 2 ** 20,
    seconds: choice.seconds,
    warmBytes: choice.warmGib * 2 ** 30,
  }
}

async function placeOverTls({ accessLog, folder }: Place): Promise<Place> {
  const own = join(folder, 'tls')
  const tls = { certFile: join(own, 'cert.pem'), keyFile: join(own, 'key.pem') }
  await mkdir(own)
  await writeFile(tls.certFile, LOOPBACK_CERT)
  await writeFile(tls.keyFile, LOOPBACK_KEY)
  return { folder: own, accessLog, tls }
}

async function publish(
  { section, own, conditions }: Contest,
  choice: Choice,
  machine: readonly string[],
  { results, failures }: Outcome,
): Promise<void> {
  const verdicts = judge(results, own)
  const lines = [
    ...machine,
    `${choice.rounds === 1 ? 'one round' : `${choice.rounds} rounds`} in turn, median (least–most); blob ${choice.blobMib} MiB; ` +
      `access logs ${choice.accessLog ? 'on' : 'off'}; loopback; one round of what takes over ${SLOW_SECONDS} s`,
    ...conditions,
    ...describeClient(results),
    ...(choice.isPart ? [`a part: ${choice.scenarios.map(({ name }) => name).join(', ')}`] : []),
    ...failures.map(({ scenario, reason }) => `not measured: ${scenario.name}: ${reason}`),
  ]
  const found = [formatVerdicts(verdicts), formatFigures(results)].filter((table) => table !== '')
  const tables = found.join('\n\n')
  if (choice.json) {
    const scenarios = results.map(({ scenario, series }) => ({ name: scenario.name, series }))
    const all = { conditions: lines, verdicts, scenarios }
    process.stdout.write(`${JSON.stringify(all, undefined, 2)}\n`)
  } else {
    process.stdout.write(`${lines.join('\n')}\n\n${tables}\n`)
  }
  if (choice.write) {
    await writeSection(section, `${lines.map((line) => `- ${line}`).join('\n')}\n\n${tables}`)
  }
}

function report(text: string): void {
  process.stderr.write(`${text}\n`)
}
