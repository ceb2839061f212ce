/**
 * `npm run bench:workers -- [--rounds 5] [--workers 2] [--json FILE]`: the same Larder with one process
 * and with workers, in turn. Larder needs a processor for each worker, and the load client a little of
 * one: what it took is said.
 */
import { mkdir, writeFile } from 'node:fs/promises'
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
  const counts = [1, Number(values.workers)]
  const servers = new Map<number, Server>()
  for (const count of counts) {
    servers.set(count, await startLarder(await place(`larder-${count}`), upstream, count))
  }
  const results: object[] = []
  try {
    for (const scenario of SCENARIOS.filter(({ title }) => title.includes(values.only))) {
      const series = new Map<number, Measured[]>(counts.map((count) => [count, []]))
      let image = await pusher.pushImage(scenario.layers)
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const [count, server] of servers) {
          if (scenario.isCold) image = await pusher.pushImage(scenario.layers)
          series.get(count)?.push(await measure(client, server, scenario, image))
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

function report(scenario: Scenario, series: ReadonlyMap<number, readonly Measured[]>): object {
  const lines = [...series].map(([count, samples]) => ({
    workers: count,
    gbPerSecond: spread(samples, 'gbPerSecond'),
    requestsPerSecond: spread(samples, 'requestsPerSecond'),
    cpuSecondsPerGb: spread(samples, 'cpuSecondsPerGb'),
    clientCpuSeconds: spread(samples, 'clientCpuSeconds'),
    seconds: spread(samples, 'seconds'),
  }))
  const [one, many] = lines
  const ratio = (many?.requestsPerSecond.median ?? 0) / (one?.requestsPerSecond.median ?? 1)
  process.stdout.write(`${scenario.title}: ${ratio.toFixed(2)} ×\n`)
  for (const line of lines) {
    const { gbPerSecond: gb, requestsPerSecond: rps, cpuSecondsPerGb: cpu } = line
    process.stdout.write(
      `  ${line.workers} workers: ${gb.median.toFixed(2)} GB/s (${gb.least.toFixed(2)}–${gb.most.toFixed(2)}), ` +
        `${Math.round(rps.median)} requests/s, ${cpu.median.toFixed(3)} CPU s/GB, ` +
        `client ${line.clientCpuSeconds.median.toFixed(2)} of ${line.seconds.median.toFixed(2)} s\n`,
    )
  }
  return { scenario: scenario.title, ratio, series: lines }
}

function spread(samples: readonly Measured[], figure: keyof Measured) {
  const values = samples.map((sample) => sample[figure]).sort((a, b) => a - b)
  const median = values[values.length >> 1] ?? Number.NaN
  return { median, least: values[0] ?? Number.NaN, most: values.at(-1) ?? Number.NaN }
}

await main()
