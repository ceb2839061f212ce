/**
 * Larder as a process that ends itself, as if by `kill -9`, at a step of the store: what
 * {@link startVictim} starts. It is told by message which step, and at which of its passes.
 */
import { writeSync } from 'node:fs'
import { flushCompileCache } from 'node:module'

import { startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createLogger } from '../../src/log.ts'
import type { Failpoint } from '../../src/store/failpoints.ts'

export interface Order {
  readonly point: Failpoint
  /** It dies at the pass of this number, counted from 1. */
  readonly pass: number
}

/** Where it listens, once it does. */
export interface Listening {
  readonly registryUrl: string
  readonly adminUrl: string
}

const STANDARD_OUTPUT = 1
const [, , file = ''] = process.argv

let order: Order | undefined
let passes = 0
process.on('message', (message: Order) => {
  order = message
  passes = 0
})
// Nobody is left to tell it when to end.
process.on('disconnect', () => process.exit(1))

const failAt = (point: Failpoint): void => {
  if (point !== order?.point || ++passes < order.pass) return
  writeSync(STANDARD_OUTPUT, point)
  process.kill(process.pid, 'SIGKILL')
  // Nothing more is done, however long the signal takes.
  for (;;);
}

const load = () => loadConfig({ file, env: {}, cwd: process.cwd() })
const { config, stamp } = await load()
const app = await startApp({
  config,
  source: { load, file, stamp },
  logger: createLogger(config.log),
  version: '0.0.0-crash',
  proxyEnvironment: { httpsProxy: undefined, httpProxy: undefined, noProxy: undefined },
  failAt,
})
const { registryUrl, adminUrl } = app
process.send?.({ registryUrl, adminUrl } satisfies Listening)
// What is killed writes no cache of compiled code: without it each start would take twice as long.
flushCompileCache()
