import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { pinned } from './proc.ts'

const run = promisify(execFile)

/** What to ask of a server: so many requests on each connection, or as many as fit into a time. */
export interface Load {
  readonly port: number
  /** With a range behind it, if only a part is wanted: `/path bytes=0-9`. */
  readonly paths: readonly string[]
  /** Each connection asks for all paths from the first on, as a node does; otherwise they take turns. */
  readonly isWalk?: boolean
  readonly connections: number
  /** For each connection. */
  readonly requests?: number
  /** No request starts later; those under way are finished. */
  readonly seconds?: number
  readonly method?: 'GET' | 'HEAD'
  readonly range?: string
  readonly headers?: readonly string[]
  readonly timeoutSeconds?: number
  /** The processors the client has, as `taskset` takes them; default: all. */
  readonly cpus?: string
}

/** What the client saw. */
export interface LoadReport {
  /** Whole responses, of any status. */
  readonly requests: number
  /** Of bodies. */
  readonly bytes: number
  /** From the first request to the last byte. */
  readonly seconds: number
  /** Requests that found no whole response. */
  readonly errors: number
  /** Of the first error; empty without one. */
  readonly reason: string
  readonly status: Readonly<Record<string, number>>
  /** From sending to the first byte of the body; to the end of the header block where there is none. */
  readonly firstByteUs: Percentiles
  readonly totalUs: Percentiles
  readonly requestsPerSecond: number
  /** The client's own. */
  readonly cpuSeconds: number
}

export interface Percentiles {
  readonly p50: number
  readonly p99: number
}

/** The client of load.c, compiled into a folder of the caller's. */
export class LoadClient {
  readonly #binary: string
  readonly #folder: string
  #lists = 0

  private constructor(binary: string, folder: string) {
    this.#binary = binary
    this.#folder = folder
  }

  /** @throws {Error} when no C compiler is there, or it refuses. */
  static async compile(folder: string): Promise<LoadClient> {
    const binary = join(folder, 'load')
    const source = join(import.meta.dirname, 'load.c')
    try {
      await run('cc', ['-O2', '-o', binary, source])
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
        throw new Error('the load client is written in C: install a compiler that answers to `cc`')
      }
      throw error
    }
    return new LoadClient(binary, folder)
  }

  /** @throws {Error} when a request failed or was answered with anything but 200 or 206. */
  async run(load: Load): Promise<LoadReport> {
    const timeoutSeconds = load.timeoutSeconds ?? 120
    const list = await this.#arguments(load, timeoutSeconds)
    const [file, args] = pinned(load.cpus, this.#binary, list)
    const { stdout } = await run(file, args, {
      timeout: (timeoutSeconds + (load.seconds ?? 0) + 10) * 1000,
    })
    const report = JSON.parse(stdout) as LoadReport
    if (report.errors > 0) throw new Error(`${report.errors} requests failed: ${report.reason}`)
    const refused = Object.keys(report.status).filter((code) => code !== '200' && code !== '206')
    if (refused.length > 0) throw new Error(`answers ${JSON.stringify(report.status)}`)
    return report
  }

  async #arguments(load: Load, timeoutSeconds: number): Promise<string[]> {
    const list = join(this.#folder, `paths-${this.#lists++}`)
    await writeFile(list, load.paths.map((path) => `${path}\n`).join(''))
    const pairs: readonly (readonly [string, string | number | undefined])[] = [
      ['--port', load.port],
      ['--paths', list],
      ['--connections', load.connections],
      ['--requests', load.requests],
      ['--seconds', load.seconds],
      ['--method', load.method],
      ['--range', load.range],
      ['--walk', load.isWalk === true ? 'yes' : undefined],
      ['--timeout', timeoutSeconds],
      ...(load.headers ?? []).map((header) => ['--header', header] as const),
    ]
    return pairs.flatMap(([name, value]) => (value === undefined ? [] : [name, String(value)]))
  }
}
