import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { send } from '../support/http-client.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { Daemon, freePort } from './programs.ts'

/** One series of an answer, with its value now. */
export interface Found {
  readonly metric: Readonly<Record<string, string>>
  readonly value: number
}

export interface RuleHealth {
  readonly name: string
  readonly health: string
  readonly lastError?: string
}

/** Prometheus itself, with a configuration of one's own. */
export class Prometheus implements AsyncDisposable {
  readonly #origin: string
  readonly #daemon: Daemon
  readonly #remove: () => Promise<void>

  private constructor(origin: string, daemon: Daemon, remove: () => Promise<void>) {
    this.#origin = origin
    this.#daemon = daemon
    this.#remove = remove
  }

  /** @param configure gives the file's content, for the port that it listens at */
  static async start(configure: (port: number) => string): Promise<Prometheus> {
    const dir = await makeTempDir('larder-prometheus-')
    const port = await freePort()
    const file = join(dir.path, 'prometheus.yml')
    await writeFile(file, configure(port))
    const daemon = await Daemon.start('prometheus', [
      `--config.file=${file}`,
      `--storage.tsdb.path=${join(dir.path, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ])
    const origin = `http://127.0.0.1:${port}`
    const started = new Prometheus(origin, daemon, () => dir.remove())
    try {
      await daemon.ready(async () => {
        const { status } = await send(origin, '/-/ready')
        if (status !== 200) throw new Error(`it answers ${status}`)
      })
      return started
    } catch (error) {
      await started[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.stop()
    await this.#remove()
  }

  /** @throws {Error} with what Prometheus says when it cannot evaluate it */
  async query(expression: string): Promise<readonly Found[]> {
    const found = (await this.#get(`/query?query=${encodeURIComponent(expression)}`)) as {
      result: readonly { metric: Found['metric']; value: readonly [number, string] }[]
    }
    return found.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }))
  }

  /** All rules that it has read, as they were last evaluated. */
  async rules(): Promise<readonly RuleHealth[]> {
    const { groups } = (await this.#get('/rules')) as {
      groups: readonly { rules: readonly RuleHealth[] }[]
    }
    return groups.flatMap(({ rules }) => rules)
  }

  async #get(path: string): Promise<unknown> {
    const { status, body } = await send(this.#origin, `/api/v1${path}`)
    const answer = JSON.parse(body.toString()) as { data?: unknown; error?: string }
    if (status !== 200) throw new Error(`${path}: ${answer.error ?? status}`)
    return answer.data
  }
}
