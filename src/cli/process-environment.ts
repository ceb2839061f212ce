/** What of the process's environment goes on to the rooms that need it. */
import type { Environment } from '../config/environment.ts'
import type { ProgramEnvironment } from '../upstream/credentials/programs.ts'
import type { ProxyEnvironment } from '../upstream/proxy-rules.ts'

export function proxyEnvironment(env: Environment): ProxyEnvironment {
  return {
    httpsProxy: env['HTTPS_PROXY'] ?? env['https_proxy'],
    httpProxy: env['HTTP_PROXY'] ?? env['http_proxy'],
    noProxy: env['NO_PROXY'] ?? env['no_proxy'],
  }
}

/** For plugins and helpers: they get no more than this. */
export function programEnvironment(env: Environment): ProgramEnvironment {
  return { path: env['PATH'], home: env['HOME'] }
}

/** What Node itself reads in it. Workers are told everything else: they need no secret. */
const NODE_VARIABLES = [
  'NODE_COMPILE_CACHE',
  'NODE_ENV',
  'NODE_OPTIONS',
  'UV_THREADPOOL_SIZE',
] as const

export function workerEnvironment(env: Environment): Readonly<Record<string, string>> {
  const entries = NODE_VARIABLES.flatMap((name) => {
    const value = env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return Object.fromEntries(entries)
}
