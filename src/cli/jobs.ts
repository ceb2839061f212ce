/** `larder jobs`. Results go to standard output, messages and progress to standard error. */
import { Command } from 'commander'
import type { RunsReport } from '../admin/ports/preload-runs.ts'
import type { RunDetail, RunReport } from '../airgap/run-report.ts'
import type { Surroundings } from '../config/surroundings.ts'
import {
  AdminClient,
  type AdminClientOptions,
  addAdminOptions,
  outputOption,
} from './admin-client.ts'
import { watchJob } from './job-watch.ts'
import { detailLines, jobLines } from './jobs-table.ts'
import { printableJson } from './printable.ts'
import type { Terminal } from './terminal.ts'

interface JobsOptions extends AdminClientOptions {
  readonly output: 'table' | 'json'
  readonly watch?: true
  readonly dryRun?: true
}

interface Given {
  readonly io: Surroundings
  readonly terminal: Terminal
}

const EXAMPLES = `
A job is a preload: begun by larder preload, on the page, by the admin API, or by the schedule of the
configuration. They are listed while they go on and after their end, the last hundred also over a
restart. ID is what the list says.

Examples:
  larder jobs
  larder jobs show 3f2a9c0b1d4e
  larder jobs watch 3f2a9c0b1d4e
  larder jobs cancel 3f2a9c0b1d4e
  larder jobs retry 3f2a9c0b1d4e --watch
  larder jobs run nightly --watch
  larder preload images.txt --detach

Exit codes: 0 ok, 6 there is no such job; of a job that is watched 3 some images are not here, 5 some
are not and registries or credentials are why, 7 there is no room, 1 it failed or was cancelled.`

const WATCH_HELP = 'stay until its end'

/** The `jobs` command with its subcommands, for `run` to add. */
export function jobsCommand(io: Surroundings, terminal: Terminal): Command {
  const given = { io, terminal }
  const command = addAdminOptions(new Command('jobs'))
    .description('list preloads, under way and ended, and those of the configuration')
    .addOption(outputOption())
    .addHelpText('after', EXAMPLES)
    .action((options: JobsOptions) => list(options, io))
  const child = (name: string, description: string) =>
    addAdminOptions(command.command(name).description(description)).addOption(outputOption())
  child('show', 'say how it stands with one preload and its images')
    .argument('<id>', 'of the list')
    .action((id: string, _options: unknown, self: Command) => show(id, self.optsWithGlobals(), io))
  child('watch', 'follow one preload to its end; Ctrl-C leaves it alone')
    .argument('<id>', 'of the list')
    .action((id: string, _options: unknown, self: Command) =>
      watch(id, self.optsWithGlobals(), given),
    )
  child('cancel', 'end a preload; what it has fetched stays')
    .argument('<id>', 'of the list')
    .action((id: string, _options: unknown, self: Command) =>
      change(pathOf(id, '/cancel'), {}, self.optsWithGlobals(), given),
    )
  child('retry', 'begin a preload of what has failed in another')
    .argument('<id>', 'of the list')
    .option('--watch', WATCH_HELP)
    .action((id: string, _options: unknown, self: Command) =>
      change(pathOf(id, '/retry'), {}, self.optsWithGlobals(), given),
    )
  child('run', 'begin a preload job of the configuration now')
    .argument('<name>', 'of the job')
    .option('--dry-run', 'fetch manifests only, and say what the rest would be')
    .option('--watch', WATCH_HELP)
    .action((job: string, _options: unknown, self: Command) => {
      const options = self.optsWithGlobals<JobsOptions>()
      return change('/jobs', { job, dryRun: options.dryRun ?? false }, options, given)
    })
  return command
}

async function list(options: JobsOptions, io: Surroundings): Promise<void> {
  await using client = await AdminClient.open(options, io)
  const report = (await client.get('/jobs')) as RunsReport
  if (options.output === 'json') {
    io.stdout.write(printableJson(report))
    return
  }
  const lines = jobLines(report)
  for (const line of lines) io.stdout.write(`${line}\n`)
  if (lines.length === 0) io.stderr.write('no preload so far: larder preload begins one\n')
}

async function show(id: string, options: JobsOptions, io: Surroundings): Promise<void> {
  await using client = await AdminClient.open(options, io)
  const detail = (await client.get(pathOf(id))) as RunDetail
  print(detail, options, io)
}

async function watch(id: string, options: JobsOptions, given: Given): Promise<void> {
  await using client = await AdminClient.open(options, given.io)
  await watchJob(client, id, { ...given, isJson: options.output === 'json' })
}

/** What changes answers with a job, which may be watched. */
async function change(
  path: string,
  body: object,
  options: JobsOptions,
  given: Given,
): Promise<void> {
  await using client = await AdminClient.open(options, given.io)
  const job = (await client.post(path, body)) as RunReport
  if (options.watch === true) {
    return await watchJob(client, job.id, { ...given, isJson: options.output === 'json' })
  }
  if (options.output === 'json') given.io.stdout.write(printableJson(job))
  else given.io.stdout.write(`${job.id}  ${job.state}\n`)
}

function print(detail: RunDetail, { output }: JobsOptions, io: Surroundings): void {
  if (output === 'json') io.stdout.write(printableJson(detail))
  else for (const line of detailLines(detail)) io.stdout.write(`${line}\n`)
}

function pathOf(id: string, rest = ''): string {
  return `/jobs/${encodeURIComponent(id)}${rest}`
}
