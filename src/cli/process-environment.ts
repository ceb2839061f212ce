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
