/**
 * A load client over TLS, a process of its own: `node secure-client.ts LOAD` with a load as JSON. To
 * take TLS apart costs it more than a server pays to put it together, so it is never the measure of
 * anything but time; what it took is in its report, as that of `load.c` is.
 */
import { execFile } from 'node:child_process'
import { Agent, get } from 'node:https'
import { promisify } from 'node:util'

import type { Load, LoadReport, Percentiles } from './load.ts'

const run = promisify(execFile)

/** @throws {Error} when a request failed or was answered with anything but 200 */
export async function runSecure(load: Load): Promise<LoadReport> {
  const args = [import.meta.filename, JSON.stringify(load)]
  const { stdout } = await run(process.execPath, args, { timeout: 120_000 })
  return JSON.parse(stdout) as LoadReport
}

async function main(load: Load): Promise<void> {
  const firstBytes: number[] = []
  const totals: number[] = []
  let bytes = 0
  const agent = new Agent({
    keepAlive: true,
    maxSockets: load.connections,
    rejectUnauthorized: false,
  })
  const headers = Object.fromEntries((load.headers ?? []).map((line) => line.split(': ', 2)))
  const ask = (path: string) =>
    new Promise<void>((resolve, reject) => {
      const startedAt = performance.now()
      const { port } = load
      get({ agent, host: '127.0.0.1', port, path, headers }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`answered ${response.statusCode}`))
        response.once('data', () => firstBytes.push(performance.now() - startedAt))
        response.on('data', (piece: Buffer) => {
          bytes += piece.length
        })
        response.once('error', reject)
        response.once('end', () => {
          totals.push(performance.now() - startedAt)
          resolve()
        })
      }).once('error', reject)
    })
  const each = load.requests ?? 1
  const startedAt = performance.now()
  const { paths, connections } = load
  await Promise.all(
    Array.from({ length: connections }, async (_, own) => {
      for (let i = 0; i < each; i++) await ask(paths[(own + i) % paths.length] ?? '/')
    }),
  )
  const seconds = (performance.now() - startedAt) / 1000
  agent.destroy()
  const { user, system } = process.cpuUsage()
  const requests = totals.length
  const report: LoadReport = {
    requests,
    bytes,
    seconds,
    errors: 0,
    reason: '',
    status: { 200: requests },
    firstByteUs: percentiles(firstBytes),
    totalUs: percentiles(totals),
    requestsPerSecond: requests / seconds,
    cpuSeconds: (user + system) / 1e6,
  }
  process.stdout.write(JSON.stringify(report))
}

function percentiles(milliseconds: number[]): Percentiles {
  const sorted = milliseconds.sort((a, b) => a - b)
  const at = (share: number) => (sorted[Math.floor(share * (sorted.length - 1))] ?? 0) * 1000
  return { p50: at(0.5), p99: at(0.99) }
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? '{}') as Load)
