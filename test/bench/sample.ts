import type { LoadReport } from './load.ts'
import type { Server } from './proc.ts'
import type { Bench, Role } from './scenarios/scenario.ts'
import { countBlobGets, countRequests } from './servers.ts'

/** Of a load on a server that runs. GB are 10^9 bytes. */
interface LoadFigures {
  readonly seconds: number
  readonly requests: number
  readonly requestsPerSecond: number
  readonly requestsPerCpuSecond: number
  /** Processor time, microseconds. */
  readonly usPerRequest: number
  readonly gigabytes: number
  readonly gbPerSecond: number
  readonly cpuPerGb: number
  /** The load client's too: the kernel does for the one what the other has begun. */
  readonly bothCpuPerGb: number
  readonly firstByteP50Ms: number
  readonly firstByteP99Ms: number
  /** GETs of blobs that the upstream saw. */
  readonly blobGets: number
  /** All that the upstream was asked. */
  readonly upstreamRequests: number
  /** Afterwards. */
  readonly rssMiB: number
  /** The load client's own. */
  readonly clientCpuSeconds: number
}

/** Of a start, and of the process that does nothing after it. */
interface StartFigures {
  /** Until it listens. */
  readonly readySeconds: number
  readonly idleRssMiB: number
}

interface CommonFigures {
  /** Of the server's processes, until it rested. */
  readonly cpuSeconds: number
  /** What the event loop was late by; NaN where the server has none. */
  readonly loopP99Ms: number
}

/** One measurement of one server: a load, or a start. */
export type Sample = CommonFigures & Partial<LoadFigures & StartFigures>

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

/** @param isAlone whether nobody else is there, who would be gone by the time the server rests */
export async function measureLoad(
  { upstream }: Pick<Bench, 'upstream'>,
  server: Server,
  run: () => Promise<LoadReport>,
  isAlone: boolean,
): Promise<Sample> {
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
    gigabytes,
    gbPerSecond: gigabytes / report.seconds,
    cpuPerGb: cpuSeconds / gigabytes,
    bothCpuPerGb: (cpuSeconds + report.cpuSeconds) / gigabytes,
    firstByteP50Ms: report.firstByteUs.p50 / 1000,
    firstByteP99Ms: report.firstByteUs.p99 / 1000,
    blobGets: (await countBlobGets(upstream)) - getsBefore,
    upstreamRequests: (await countRequests(upstream)) - askedBefore,
    loopP99Ms,
    rssMiB: server.rssBytes() / 2 ** 20,
    clientCpuSeconds: report.cpuSeconds,
  }
}

/**
 * NaN where the figure is not one of these measurements'.
 *
 * @throws {RangeError} without samples
 */
export function spreadOf(samples: readonly Sample[], figure: Figure): Spread {
  const values = samples.map((sample) => sample[figure] ?? Number.NaN).sort((a, b) => a - b)
  const [least, most] = [values[0], values.at(-1)]
  const middle = values.length >> 1
  const [low, high] = [values[values.length % 2 === 1 ? middle : middle - 1], values[middle]]
  if (least === undefined || most === undefined || low === undefined || high === undefined) {
    throw new RangeError('no samples')
  }
  return { median: (low + high) / 2, least, most }
}
