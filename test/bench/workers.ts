/**
 * `npm run bench:workers -- [--rounds 5] [--workers 2] [--json FILE]`: the same Larder with one process
 * and with workers, in turn. The load client needs processors too, two thirds of what Larder needs: on a
 * machine with no more of them than workers, one process beside an idle core that the client has is no
 * measure. So everything, client included, is also put on one core with one process, and on as many
 * cores as there are workers with them: what twice the machine is good for.
 */
import { execFileSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { makeTempDir } from '../support/temp-dir.ts'
import { type Image, layerPath, manifestPath, Pusher } from './content.ts'
import { type Load, LoadClient } from './load.ts'
import type { Server } from './proc.ts'
import { startLarder, startUpstream } from './servers.ts'

const MIB = 2 ** 20
const BLOB_BYTES = 128 * MIB
const SMALL_BYTES = 20_000
const WARM_BYTES = 8 * 2 ** 30

interface Scenario {
  readonly title: string
  /** Whether each measurement needs what nobody has seen. */
  readonly isCold: boolean
  readonly layers: readonly [number, ...number[]]
  load(image: Image): Omit<Load, 'port'>
}

const SCENARIOS: readonly Scenario[] = [
  warm(8),
  warm(64),
  {
    title: 'manifest by digest, 16 clients',
    isCold: false,
    layers: [SMALL_BYTES],
    load: (image) => ({
      paths: [manifestPath(image, image.manifest)],
      connections: 16,
      seconds: 3,
    }),
  },
  {
    title: 'ranges of 1 MiB, warm, 16 clients',
    isCold: false,
    layers: [BLOB_BYTES],
    load: (image) => ({
      paths: [layerPath(image)],
      connections: 16,
      seconds: 3,
      range: `bytes=${5 * MIB}-${6 * MIB - 1}`,
    }),
  },
  {
    title: `blob of ${SMALL_BYTES / 1000} kB, warm, 16 clients`,
    isCold: false,
    layers: [SMALL_BYTES],
    load: (image) => ({ paths: [layerPath(image)], connections: 16, seconds: 3 }),
  },
  cold(1),
  cold(50),
]

/** How Larder runs, and on which processors it and the client do. */
interface Setup {
  readonly title: string
  readonly workers: number
  readonly cpus: string
}

interface Measured {
  readonly gbPerSecond: number
  readonly requestsPerSecond: number
  readonly cpuSecondsPerGb: number
  readonly serverCpuSeconds: number
  readonly clientCpuSeconds: number
  readonly seconds: number
}

function warm(connections: number): Scenario {
  return {
    title: `warm blob of 128 MiB, ${connections} clients`,
    isCold: false,
    layers: [BLOB_BYTES],
    load: (image) => ({
      paths: [layerPath(image)],
      connections,
      requests: Math.ceil(WARM_BYTES / BLOB_BYTES / connections),
    }),
  }
}

function cold(connections: number): Scenario {
  return {
    title: `cold blob of 128 MiB, ${connections} clients`,
    isCold: true,
    layers: [BLOB_BYTES],
    load: (image) => ({ paths: [layerPath(image)], connections, requests: 1 }),
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      workers: { type: 'string', default: '2' },
      only: { type: 'string', default: '' },
      json: { type: 'string' },
    },
  })
  const dir = await makeTempDir('larder-workers-')
  const place = async (name: string) => {
    const folder = join(dir.path, name)
    await mkdir(folder)
    return { folder, accessLog: false }
  }
  const client = await LoadClient.compile(dir.path)
  const upstream = await startUpstream(await place('upstream'))
  const pusher = new Pusher(upstream.url)
  const setups = setupsFor(Number(values.workers))
  const servers = new Map<Setup, Server>()
  for (const [index, setup] of setups.entries()) {
    pin(setup.cpus)
    servers.set(setup, await startLarder(await place(`larder-${index}`), upstream, setup.workers))
  }
  const results: object[] = []
  try {
    for (const scenario of SCENARIOS.filter(({ title }) => title.includes(values.only))) {
      const series = new Map<Setup, Measured[]>(setups.map((setup) => [setup, []]))
      let image = await pusher.pushImage(scenario.layers)
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const [setup, server] of servers) {
          pin(setup.cpus)
          if (scenario.isCold) image = await pusher.pushImage(scenario.layers)
          series.get(setup)?.push(await measure(client, server, scenario, image))
        }
      }
      results.push(report(scenario, series))
    }
    if (values.json !== undefined)
      await writeFile(values.json, JSON.stringify(results, undefined, 2))
  } finally {
    for (const server of servers.values()) await server.stop()
    await upstream.stop()
    await dir.remove()
  }
}

function setupsFor(workers: number): readonly Setup[] {
  const all = `0-${Math.min(workers, availableParallelism()) - 1}`
  return [
    { title: '1 process, 1 core', workers: 1, cpus: '0' },
    { title: `1 process, cores ${all}`, workers: 1, cpus: all },
    { title: `${workers} workers, cores ${all}`, workers, cpus: all },
  ]
}

/** This process, and what it starts from now on. */
function pin(cpus: string): void {
  execFileSync('taskset', ['-a', '-c', '-p', cpus, String(process.pid)], { stdio: 'ignore' })
}

async function measure(
  client: LoadClient,
  server: Server,
  scenario: Scenario,
  image: Image,
): Promise<Measured> {
  const { port } = server
  const prime = [manifestPath(image, image.tag), manifestPath(image, image.manifest)]
  await client.run({ port, paths: prime, connections: 1, requests: 2 })
  // Each worker has to have read it.
  if (!scenario.isCold) await client.run({ ...scenario.load(image), port, requests: 4 })
  await server.settle()
  const before = server.cpuSeconds()
  const { bytes, seconds, requests, cpuSeconds } = await client.run({
    ...scenario.load(image),
    port,
  })
  await server.settle()
  const serverCpuSeconds = server.cpuSeconds() - before
  return {
    gbPerSecond: bytes / 1e9 / seconds,
    requestsPerSecond: requests / seconds,
    cpuSecondsPerGb: serverCpuSeconds / (bytes / 1e9),
    serverCpuSeconds,
    clientCpuSeconds: cpuSeconds,
    seconds,
  }
}

function report(scenario: Scenario, series: ReadonlyMap<Setup, readonly Measured[]>): object {
  const lines = [...series].map(([{ title }, samples]) => ({
    title,
    gbPerSecond: spread(samples, 'gbPerSecond'),
    requestsPerSecond: spread(samples, 'requestsPerSecond'),
    cpuSecondsPerGb: spread(samples, 'cpuSecondsPerGb'),
    clientCpuSeconds: spread(samples, 'clientCpuSeconds'),
    seconds: spread(samples, 'seconds'),
  }))
  const [one, machine1, many] = lines.map(({ requestsPerSecond }) => requestsPerSecond.median)
  const ratios = { core: (many ?? 0) / (one ?? 1), machine: (many ?? 0) / (machine1 ?? 1) }
  process.stdout.write(
    `${scenario.title}: ${ratios.core.toFixed(2)} × one process on one core, ` +
      `${ratios.machine.toFixed(2)} × one process on all\n`,
  )
  for (const line of lines) {
    const { gbPerSecond: gb, requestsPerSecond: rps, cpuSecondsPerGb: cpu } = line
    process.stdout.write(
      `  ${line.title}: ${gb.median.toFixed(2)} GB/s (${gb.least.toFixed(2)}–${gb.most.toFixed(2)}), ` +
        `${Math.round(rps.median)} requests/s, ${cpu.median.toFixed(3)} CPU s/GB, ` +
        `client ${line.clientCpuSeconds.median.toFixed(2)} of ${line.seconds.median.toFixed(2)} s\n`,
    )
  }
  return { scenario: scenario.title, ratios, series: lines }
}

function spread(samples: readonly Measured[], figure: keyof Measured) {
  const values = samples.map((sample) => sample[figure]).sort((a, b) => a - b)
  const median = values[values.length >> 1] ?? Number.NaN
  return { median, least: values[0] ?? Number.NaN, most: values.at(-1) ?? Number.NaN }
}

await main()
