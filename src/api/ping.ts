import { type Caller, mayChallenge } from '../access/caller.ts'
import { challenge } from '../access/challenge.ts'
import type { Upstreams } from '../upstream/routing.ts'
import type { Exchange } from './exchange.ts'

/**
 * GET `/v2/`: distribution-spec v1.1.1 "Determining Support". What it answers decides for a whole
 * session of containers-image and go-containerregistry whether they ever send a credential, so it
 * challenges whoever has sent none wherever a credential could be of use. Both go on without one
 * when they have none. Docker does not: it is challenged only where its own registry, the default
 * upstream, is one for callers.
 */
export function servePing(exchange: Exchange, caller: Caller, upstreams: Upstreams): void {
  const { request, response, isHead } = exchange
  const isDocker = request.headers['user-agent']?.startsWith('docker/') ?? false
  const isWanted = upstreams.all.some(
    ({ config }) =>
      config.access === 'caller' && mayChallenge(caller, config) && (config.default || !isDocker),
  )
  if (isWanted && caller.credential === undefined) throw challenge('larder')
  response.setHeader('Content-Type', 'application/json')
  response.setHeader('Content-Length', 2)
  response.writeHead(200)
  response.end(isHead ? undefined : '{}')
}
