/**
 * `larder export` and `larder import` beside `cp` and `sha256sum` of the same bytes, in turn.
 *
 *     npm run bench:airgap -- [GIB] [--rounds N] [--sources] [--folder DIR] [--profiles DIR]
 *
 * GIB is the size of the bundle, in layers of 64 MiB (default 2). The program is built first; with
 * `--sources` it runs as it lies there. Six times the bundle have to fit into the folder. What is read
 * is in the page cache each time, and nothing waits to be written. Into the folder of profiles come those
 * of V8, a file for each process.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { copyFile, cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { entryOf, LAYOUT } from '../airgap/bundle/archives.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { type Usage, usageOf } from './proc.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const MIB = 2 ** 20
const LAYER_BYTES = 64 * MIB
const LAYERS_A_GIB = 16
const LOOK_MS = 10
/** As the image runs it. */
const FLAGS = ['--max-semi-space-size=4']
const UPSTREAM = { name: 'reg.test', url: 'http://127.0.0.1:9', default: true, access: 'public' }
const OCI = 'application/vnd.oci.image'
/** So much of what `cp` and `sha256sum` reach, or so many MB/s, whichever is less. */
const TARGET = { ratio: 0.8, megabytes: 300, peakMiB: 200 } as const

interface Choice {
  readonly gib: number
  readonly rounds: number
  readonly sources: boolean
  readonly folder: string
  readonly profiles: string | undefined
}

/** What has been measured of one command. MB are 10^6 bytes. */
interface Sample {
  readonly seconds: number
  readonly command: Usage
  readonly server: Usage | undefined
}

class Bench {
  readonly #folder: string
  /** What Node runs, with its flags. */
  readonly #program: readonly string[]
  readonly #layers: number

  constructor(folder: string, program: readonly string[], layers: number) {
    this.#folder = folder
    this.#program = program
    this.#layers = layers
  }

  /** A server of its own, with nothing but what is in `store`. */
  serve(store: string): Promise<RunningLarder> {
    return startLarder({
      upstreams: [UPSTREAM],
      log: { level: 'info' },
      offline: true,
      dataDir: this.path(store),
      program: this.#program,
    })
  }

  path(name: string): string {
    return join(this.#folder, name)
  }

  /** Layers that are random and differ, through `larder import -`. */
  async fill({ adminUrl }: RunningLarder): Promise<void> {
    const args = [...this.#program, 'import', '-', '--pin', '--server', adminUrl]
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'inherit'] })
    const closed = once(child, 'close')
    for (const piece of this.#layout()) {
      if (!child.stdin.write(piece)) await Promise.race([once(child.stdin, 'drain'), closed])
    }
    child.stdin.end()
    const [code] = await closed
    if (code !== 0) throw new Error(`the store cannot be filled: import ended with ${code}`)
  }

  larder(args: readonly string[], server: RunningLarder): Promise<Sample> {
    const all = [...this.#program, ...args, '--server', server.adminUrl]
    return measure(process.execPath, all, server.pid)
  }

  *#layout(): Generator<Buffer, void, undefined> {
    const layers: object[] = []
    const layer = randomBytes(LAYER_BYTES)
    yield entryOf(LAYOUT)
    for (let index = 0; index < this.#layers; index++) {
      layer.writeUInt32BE(index)
      const { descriptor, bytes } = blob(`${OCI}.layer.v1.tar`, layer)
      layers.push(descriptor)
      yield bytes
    }
    const config = blob(
      `${OCI}.config.v1+json`,
      Buffer.from('{"architecture":"amd64","os":"linux"}'),
    )
    const document = { schemaVersion: 2, mediaType: `${OCI}.manifest.v1+json`, layers }
    const text = JSON.stringify({ ...document, config: config.descriptor })
    const manifest = blob(document.mediaType, Buffer.from(text))
    const annotations = { 'io.containerd.image.name': 'reg.test/bench/app:v1' }
    const index = { schemaVersion: 2, manifests: [{ ...manifest.descriptor, annotations }] }
    yield config.bytes
    yield manifest.bytes
    yield entryOf({ name: 'index.json', content: JSON.stringify(index) })
    yield Buffer.alloc(1024)
  }
}

function blob(mediaType: string, content: Buffer) {
  const hex = createHash('sha256').update(content).digest('hex')
  return {
    descriptor: { mediaType, digest: `sha256:${hex}`, size: content.length },
    bytes: entryOf({ name: `blobs/sha256/${hex}`, content }),
  }
}

/** @param serverPid whose processor time counts too; `undefined`: there is none */
async function measure(file: string, args: readonly string[], serverPid?: number): Promise<Sample> {
  const before = serverPid === undefined ? undefined : usageOf(serverPid)
  const startedAt = performance.now()
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  let command: Usage = { cpuSeconds: 0, peakBytes: 0 }
  // What has ended is gone from /proc: the last look counts.
  const timer = setInterval(() => {
    command = usageOf(child.pid ?? 0) ?? command
  }, LOOK_MS)
  const [code] = await once(child, 'exit')
  const seconds = (performance.now() - startedAt) / 1000
  clearInterval(timer)
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code}`)
  const after = serverPid === undefined ? undefined : usageOf(serverPid)
  const cpuSeconds = (after?.cpuSeconds ?? 0) - (before?.cpuSeconds ?? 0)
  return { seconds, command, server: after && { ...after, cpuSeconds } }
}

/** One command after the other, each by itself. */
async function copyAndSum(from: string, to: string): Promise<Sample> {
  const copied = await measure('cp', [from, to])
  const summed = await measure('sha256sum', [to])
  const cpuSeconds = copied.command.cpuSeconds + summed.command.cpuSeconds
  const peakBytes = Math.max(copied.command.peakBytes, summed.command.peakBytes)
  const seconds = copied.seconds + summed.seconds
  return { seconds, command: { cpuSeconds, peakBytes }, server: undefined }
}

type Samples = Record<'cp+sha256sum' | 'export' | 'import', Sample[]>

/** @param first the server that everything is exported from */
async function run(bench: Bench, rounds: number, first: RunningLarder): Promise<Samples> {
  const bundle = bench.path('bundle.tar')
  await bench.larder(['export', '--pinned', '-o', bundle], first)
  const [copy, out] = [bench.path('copy.tar'), bench.path('out.tar')]
  let stale = copy
  await copyAndSum(bundle, copy)
  const samples: Samples = { 'cp+sha256sum': [], export: [], import: [] }
  for (let round = 0; round < rounds; round++) {
    settle(bundle, [stale])
    samples['cp+sha256sum'].push(await copyAndSum(bundle, copy))
    settle(first.dataDir, [copy])
    samples.export.push(await bench.larder(['export', '--pinned', '-o', out], first))
    const name = `store-${round}`
    await using second = await bench.serve(name)
    settle(
      bundle,
      ['', '.sha256', '.index.json'].map((end) => `${out}${end}`),
    )
    samples.import.push(await bench.larder(['import', bundle], second))
    stale = bench.path(name)
    process.stderr.write(`round ${round + 1} of ${rounds}\n`)
  }
  return samples
}

/**
 * Nothing waits to be written, what is read next is in the page cache, and there is as much memory that
 * was in use a moment ago: a virtual machine may have to be given other memory first, which takes longer
 * than the copying.
 */
function settle(read: string, stale: readonly string[]): void {
  execFileSync('sync')
  execFileSync('sh', ['-c', 'find "$1" -type f -exec cat {} + >/dev/null', 'sh', read])
  for (const path of stale) rmSync(path, { recursive: true, force: true })
}

function* report(samples: Samples, bytes: number): Generator<string, void, undefined> {
  const rateOf = (list: readonly Sample[]) => bytes / 1e6 / median(list, ({ seconds }) => seconds)
  const base = rateOf(samples['cp+sha256sum'])
  const least = Math.min(TARGET.megabytes, TARGET.ratio * base)
  yield 'what            MB/s  (each)             of cp  CPU s/GB  command  server   peak MiB  command  server'
  for (const [name, list] of Object.entries(samples)) {
    const rate = rateOf(list)
    const each = list.map(({ seconds }) => (bytes / 1e6 / seconds).toFixed(0)).join(' ')
    const cpu = [
      median(list, ({ command }) => command.cpuSeconds),
      median(list, ({ server }) => server?.cpuSeconds ?? 0),
    ].map((seconds) => (seconds / (bytes / 1e9)).toFixed(2).padStart(7))
    const peaks = [
      Math.max(...list.map(({ command }) => command.peakBytes)),
      Math.max(...list.map(({ server }) => server?.peakBytes ?? 0)),
    ]
    const mib = peaks.map((peak) => (peak / MIB).toFixed(0).padStart(7))
    const isMet = rate >= least && peaks.every((peak) => peak < TARGET.peakMiB * MIB)
    const verdict = name === 'cp+sha256sum' ? '' : isMet ? '  met' : '  MISSED'
    yield `${name.padEnd(13)} ${rate.toFixed(0).padStart(6)}  ${`(${each})`.padEnd(18)} ${(rate / base).toFixed(2).padStart(5)}           ${cpu.join(' ')}            ${mib.join(' ')}${verdict}`
  }
  yield `target: ${least.toFixed(0)} MB/s, peaks below ${TARGET.peakMiB} MiB`
}

function median(list: readonly Sample[], of: (sample: Sample) => number): number {
  const values = list.map(of).toSorted((a, b) => a - b)
  const middle = values.length >> 1
  const [low = Number.NaN, high = Number.NaN] = values.slice(
    values.length % 2 === 1 ? middle : middle - 1,
    middle + 1,
  )
  return values.length % 2 === 1 ? low : (low + high) / 2
}

/** The program as it is shipped. @returns its main file */
async function build(folder: string): Promise<string> {
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc')
  const dist = join(folder, 'dist')
  const args = [compiler, '-p', 'src/tsconfig.build.json', '--outDir', dist]
  execFileSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' })
  await cp(join(ROOT, 'src/page'), join(dist, 'page'), { recursive: true })
  await copyFile(join(ROOT, 'package.json'), join(folder, 'package.json'))
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return join(dist, 'main.js')
}

function parseChoice(args: readonly string[]): Choice {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      sources: { type: 'boolean', default: false },
      folder: { type: 'string', default: tmpdir() },
      profiles: { type: 'string' },
    },
  })
  const [gib = '2'] = positionals
  const profiles = values.profiles === undefined ? undefined : resolve(values.profiles)
  const choice = { ...values, profiles, gib: Number(gib), rounds: Number(values.rounds) }
  const isRight = choice.gib * LAYERS_A_GIB >= 1 && choice.rounds >= 1
  if (!isRight)
    throw new Error('GIB and --rounds are numbers from 1; GIB may be a part such as 0.25')
  return choice
}

async function main(args: readonly string[]): Promise<void> {
  const { gib, rounds, sources, folder, profiles } = parseChoice(args)
  await using stack = new AsyncDisposableStack()
  const place = await mkdtemp(join(folder, 'larder-bench-airgap-'))
  stack.defer(() => rm(place, { recursive: true, force: true }))
  const program = sources ? join(ROOT, 'src/main.ts') : await build(place)
  const layers = Math.floor(gib * LAYERS_A_GIB)
  const profiling = profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`]
  const bench = new Bench(place, [...FLAGS, ...profiling, program], layers)
  const filled = await bench.serve('first')
  await bench.fill(filled)
  await filled.close()
  const first = stack.use(await bench.serve('first'))
  const samples = await run(bench, rounds, first)
  for (const line of report(samples, layers * LAYER_BYTES)) process.stdout.write(`${line}\n`)
}

await main(process.argv.slice(2))
