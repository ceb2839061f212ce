/**
 * A load client over TLS, a process of its own with as many threads as it is told: `node
 * secure-client.ts LOAD THREADS` with a load as JSON. To take TLS apart costs about what a server pays
 * to put it together; what it took is in its report, as that of `load.c` is.
 */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'

import type { Load, LoadReport, Percentiles } from './load.ts'
import { pinned } from './proc.ts'
import type { Part, Seen } from './secure-thread.ts'

const run = promisify(execFile)
const THREAD = new URL('./secure-thread.ts', import.meta.url)

/** @throws {Error} when a request failed or was answered with anything but 200 */
export async function runSecure(load: Load, threads = 1): Promise<LoadReport> {
  const command = [import.meta.filename, JSON.stringify(load), String(threads)]
  const [file, args] = pinned(load.cpus, process.execPath, command)
  const { stdout } = await run(file, args, { timeout: 120_000 })
  return JSON.parse(stdout) as LoadReport
}

async function main(load: Load, threads: number): Promise<void> {
  const numbers = Array.from({ length: load.connections }, (_, number) => number)
  const workers = Array.from({ length: Math.min(threads, load.connections) }, (_, thread) => {
    const part: Part = { load, numbers: numbers.filter((number) => number % threads === thread) }
    return new Worker(THREAD, { workerData: part })
  })
  // Every connection is there before the clock starts: what is measured is the answer.
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  const [cpuBefore, startedAt] = [process.cpuUsage(), performance.now()]
  const answers = workers.map((worker) => once(worker, 'message'))
  for (const worker of workers) worker.postMessage('go')
  const seen = (await Promise.all(answers)).map(([one]) => one as Seen)
  const seconds = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  const totals = seen.flatMap(({ totalsMs }) => totalsMs)
  const report: LoadReport = {
    requests: totals.length,
    bytes: seen.reduce((sum, { bytes }) => sum + bytes, 0),
    seconds,
    errors: 0,
    reason: '',
    status: { 200: totals.length },
    firstByteUs: percentiles(seen.flatMap(({ firstBytesMs }) => firstBytesMs)),
    totalUs: percentiles(totals),
    requestsPerSecond: totals.length / seconds,
    cpuSeconds: (user + system) / 1e6,
  }
  process.stdout.write(JSON.stringify(report))
}

function percentiles(milliseconds: readonly number[]): Percentiles {
  const sorted = milliseconds.toSorted((a, b) => a - b)
  const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? 0) * 1000
  return { p50: at(0.5), p99: at(0.99) }
}

if (import.meta.main) {
  await main(JSON.parse(process.argv[2] ?? '{}') as Load, Number(process.argv[3] ?? 1))
}
