import { writeFile } from 'node:fs/promises'
import type { IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'

import { makeTempDir } from '../support/temp-dir.ts'
import type { Network } from './network.ts'
import { skopeoCopyIn } from './skopeo.ts'

export interface IsolatedAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Larder in a network that this process is not in: clients are started there too. */
export interface IsolatedLarder extends AsyncDisposable {
  /** From the start of the process until it listened. */
  readonly startMs: number
  /** Of the registry API. */
  ask(path: string, method?: 'GET' | 'HEAD'): Promise<IsolatedAnswer>
  askAdmin(path: string): Promise<IsolatedAnswer>
  /** Copies `<registry>/<repository>:<tag>` with skopeo. */
  pull(reference: string): Promise<void>
}

/** What differs from the defaults, with the file's own keys. */
export interface IsolatedLarderOptions {
  readonly dataDir: string
  readonly upstreams: readonly Readonly<Record<string, unknown>>[]
  readonly offline?: boolean
}

/** In a network of its own every port is free. */
const HOST = '127.0.0.1:5000'
const ADMIN_HOST = '127.0.0.1:9090'
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const ASK = fileURLToPath(new URL('ask.ts', import.meta.url))

export async function startLarderIn(
  network: Network,
  { dataDir, ...options }: IsolatedLarderOptions,
): Promise<IsolatedLarder> {
  const dir = await makeTempDir('larder-run-')
  const file = join(dir.path, 'larder.yaml')
  const config = {
    version: 1,
    server: { listen: HOST, adminListen: ADMIN_HOST },
    storage: { path: dataDir },
    ...options,
  }
  await writeFile(file, stringify(config))
  const startedAt = performance.now()
  const daemon = await network.start(process.execPath, [MAIN, 'serve', '-c', file])
  const ask = async (host: string, path: string, method = 'GET') => {
    const output = await network.run(process.execPath, [ASK, method, `http://${host}`, path])
    return JSON.parse(output) as IsolatedAnswer
  }
  await daemon.line(/"msg":"listening"/)
  return {
    startMs: performance.now() - startedAt,
    ask: (path, method) => ask(HOST, path, method),
    askAdmin: (path) => ask(ADMIN_HOST, path),
    pull: (reference) => skopeoCopyIn(network, `${HOST}/${reference}`),
    [Symbol.asyncDispose]: async () => {
      await daemon.stop()
      await dir.remove()
    },
  }
}
