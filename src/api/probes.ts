import type { IncomingMessage, ServerResponse } from 'node:http'

/** What readiness is made of. A registry that is down is not: then a cache is worth most. */
export interface Check {
  readonly name: string
  /** A sentence about what is wrong; `undefined` when nothing is. */
  readonly problem: () => string | undefined
  /** What an operator should know of, though pulls are answered all the same. */
  readonly warning?: () => string | undefined
}

/** `/livez` and `/readyz`, on both listeners, outside of the log and of the front door. */
export class Probes {
  readonly #checks: readonly Check[]

  constructor(checks: readonly Check[]) {
    this.#checks = checks
  }

  /** What an operator should know of, a sentence each. */
  warnings(): readonly string[] {
    return this.#checks.flatMap(({ warning }) => warning?.() ?? [])
  }

  /** @returns whether the request was one for a probe */
  answers(request: IncomingMessage, response: ServerResponse): boolean {
    if (request.method !== 'GET' && request.method !== 'HEAD') return false
    const [path, query] = (request.url ?? '').split('?', 2)
    if (path === '/livez' || path === '/healthz') {
      send(response, 200, { status: 'ok' })
      return true
    }
    if (path !== '/readyz') return false
    const checks = this.#checks.map(({ name, problem, warning }) => {
      return { name, problem: problem(), warning: warning?.() }
    })
    const isReady = checks.every(({ problem }) => problem === undefined)
    const isVerbose = new URLSearchParams(query).has('verbose')
    const status = isReady ? 'ready' : 'not ready'
    const shown = checks.map(({ name, problem, warning }) => {
      return { name, status: problem ?? warning ?? 'ok' }
    })
    send(response, isReady ? 200 : 503, { status, ...(isVerbose ? { checks: shown } : {}) })
    return true
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`)
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': bytes.length,
    'Cache-Control': 'no-store',
  })
  response.end(bytes)
}
