import type { Load, LoadReport } from './load.ts'
import type { Server } from './proc.ts'
import type { Bench, Role, Scenario } from './scenarios/scenario.ts'
import { countBlobGets, countRequests } from './servers.ts'

/** One measurement of one server. GB are 10^9 bytes. */
export interface Sample {
  readonly seconds: number
  /** Of the server's processes, until it rested. */
  readonly cpuSeconds: number
  readonly requests: number
  readonly requestsPerSecond: number
  readonly requestsPerCpuSecond: number
  /** Processor time, microseconds. */
  readonly usPerRequest: number
  readonly gbPerSecond: number
  readonly cpuPerGb: number
  readonly firstByteP50Ms: number
  readonly firstByteP99Ms: number
  /** GETs of blobs that the upstream saw. */
  readonly blobGets: number
  /** All that the upstream was asked. */
  readonly upstreamRequests: number
  /** What the event loop was late by; NaN where the server has none. */
  readonly loopP99Ms: number
  /** Afterwards. */
  readonly rssMiB: number
  /** The load client's own. */
  readonly clientCpuSeconds: number
}

export type Figure = keyof Sample

export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** One scenario's samples of one server, in the order of the rounds. */
export interface Series {
  readonly role: Role
  readonly samples: readonly Sample[]
}

/** Measures the servers in turn, round after round, so that what drifts drifts for all of them. */
export async function runScenario(
  bench: Bench,
  scenario: Scenario,
  rounds: number,
  progress: (text: string) => void,
): Promise<readonly Series[]> {
  const servers = scenario.isSecure ? bench.secure : bench.servers
  const turns = scenario.roles.flatMap((role) => {
    const server = servers.get(role)
    return server === undefined ? [] : [{ role, server, samples: [] as Sample[] }]
  })
  let images = await scenario.push(bench)
  for (let round = 0; round < rounds; round++) {
    if (round > 0 && scenario.cold) images = await scenario.push(bench)
    for (const { role, server, samples } of turns) {
      if (round === 0 || scenario.cold) await scenario.prime(bench, role, server, images)
      const load = { ...scenario.load(bench, role, images), port: server.port }
      const run = scenario.run ?? ((one: Load) => bench.client.run(one))
      await using _crowd = await scenario.crowd?.(server, images)
      samples.push(await measure(bench, server, () => run(load), scenario.crowd === undefined))
      progress(`${scenario.name} ${round + 1}/${rounds} ${role}`)
    }
  }
  return turns.map(({ role, samples }) => ({ role, samples }))
}

async function measure(
  { upstream }: Bench,
  server: Server,
  run: () => Promise<LoadReport>,
  isAlone: boolean,
): Promise<Sample> {
  // A crowd has begun already, and would be over by then.
  if (isAlone) await server.settle()
  await server.loopP99Ms()
  const cpuBefore = server.cpuSeconds()
  const [getsBefore, askedBefore] = [await countBlobGets(upstream), await countRequests(upstream)]
  const report = await run()
  const loopP99Ms = await server.loopP99Ms()
  await server.settle()
  await upstream.settle()
  const cpuSeconds = server.cpuSeconds() - cpuBefore
  const gigabytes = report.bytes / 1e9
  return {
    seconds: report.seconds,
    cpuSeconds,
    requests: report.requests,
    requestsPerSecond: report.requestsPerSecond,
    requestsPerCpuSecond: report.requests / cpuSeconds,
    usPerRequest: (cpuSeconds / report.requests) * 1e6,
    gbPerSecond: gigabytes / report.seconds,
    cpuPerGb: cpuSeconds / gigabytes,
    firstByteP50Ms: report.firstByteUs.p50 / 1000,
    firstByteP99Ms: report.firstByteUs.p99 / 1000,
    blobGets: (await countBlobGets(upstream)) - getsBefore,
    upstreamRequests: (await countRequests(upstream)) - askedBefore,
    loopP99Ms,
    rssMiB: server.rssBytes() / 2 ** 20,
    clientCpuSeconds: report.cpuSeconds,
  }
}

/** @throws {RangeError} without samples. */
export function spreadOf(samples: readonly Sample[], figure: Figure): Spread {
  const values = samples.map((sample) => sample[figure]).sort((a, b) => a - b)
  const [least, most] = [values[0], values.at(-1)]
  const middle = values.length >> 1
  const [low, high] = [values[values.length % 2 === 1 ? middle : middle - 1], values[middle]]
  if (least === undefined || most === undefined || low === undefined || high === undefined) {
    throw new RangeError('no samples')
  }
  return { median: (low + high) / 2, least, most }
}
