import type { LookupFunction } from 'node:net'

import { Agent, type Dispatcher, Pool, ProxyAgent } from 'undici'

import type { UpstreamLimits } from '../config/config.ts'
import type { DialPolicy } from './dial-policy.ts'
import { closedError, toUpstreamError } from './failures.ts'
import type { ProxyRules } from './proxy-rules.ts'
import type { Slabs } from './slabs.ts'
import type { TlsMaterial } from './tls-files.ts'

/** Signed redirects and multi-scope challenges exceed Node's 16 KiB. */
const MAX_HEADER_BYTES = 64 * 1024
/** Longer than most registries keep an idle connection; what they say of it is respected. */
const KEEP_ALIVE_MS = 15_000

export interface DispatchersOptions {
  readonly upstream: string
  readonly policy: DialPolicy
  readonly proxyRules: ProxyRules
  readonly tls: TlsMaterial
  readonly limits: UpstreamLimits
  readonly slabs: Slabs
}

/**
 * The connections of one endpoint. Those to the endpoint itself and those to hosts that it names
 * are kept apart: only the first may go anywhere, and only they show the client certificate.
 */
export class Dispatchers {
  readonly #options: DispatchersOptions
  readonly #dispatchers = new Map<string, Dispatcher>()
  #isClosed = false

  constructor(options: DispatchersOptions) {
    this.#options = options
  }

  /** @throws {UpstreamError} once closed: what would be opened then is closed by nobody */
  for(url: URL): Dispatcher {
    if (this.#isClosed) throw closedError(this.#options.upstream)
    const own = this.#options.policy.isOwn(url)
    const proxy = this.#options.proxyRules.proxyFor(url)
    const key = `${own ? 'own' : 'derived'} ${proxy ?? ''}`
    let dispatcher = this.#dispatchers.get(key)
    if (dispatcher === undefined) {
      dispatcher = this.#create(own, proxy)
      this.#dispatchers.set(key, dispatcher)
    }
    return dispatcher
  }

  /** Waits up to `graceMs` for what is under way, then cuts it. */
  async close(graceMs: number): Promise<void> {
    this.#isClosed = true
    const dispatchers = [...this.#dispatchers.values()]
    this.#dispatchers.clear()
    if (graceMs > 0) {
      const { promise: grace, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, graceMs)
      await Promise.race([Promise.all(dispatchers.map((one) => one.close())), grace])
      clearTimeout(timer)
    }
    await Promise.all(dispatchers.map((one) => one.destroy()))
  }

  #create(own: boolean, proxy: string | undefined): Dispatcher {
    const { upstream, policy, tls, limits, slabs } = this.#options
    const verify = {
      ...(tls.ca === undefined ? {} : { ca: [...tls.ca] }),
      ...(own && tls.cert !== undefined ? { cert: tls.cert } : {}),
      ...(own && tls.key !== undefined ? { key: tls.key } : {}),
    }
    const lookup: LookupFunction = own ? policy.lookupOwn : policy.lookupDerived
    const { onread } = slabs
    const connect = { ...verify, lookup, timeout: limits.connectTimeoutMs, onread }
    const options = {
      // Multiplexing many blobs over one HTTP/2 connection is slower here than several connections.
      allowH2: false,
      connections: limits.connections,
      headersTimeout: limits.headersTimeoutMs,
      bodyTimeout: limits.idleTimeoutMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    }
    const agent =
      proxy === undefined
        ? new Agent({ ...options, connect })
        : createProxyAgent(proxy, options, verify, limits)
    return agent.compose((dispatch) => (request, handler) => {
      return dispatch(request, nameErrors(upstream, handler))
    })
  }
}

/** The proxy resolves names, so only what a URL shows can be checked before. */
function createProxyAgent(
  uri: string,
  options: Pool.Options,
  verify: object,
  limits: UpstreamLimits,
): Dispatcher {
  return new ProxyAgent({
    ...options,
    uri,
    connectTimeout: limits.connectTimeoutMs,
    requestTls: verify,
    // Without these a proxy that does not answer CONNECT would be waited for five minutes.
    clientFactory: (origin, given) =>
      new Pool(origin, { ...options, ...given, headersTimeout: limits.connectTimeoutMs }),
    factory: (origin, given) => new Pool(origin, { ...options, ...given }),
  })
}

/** Errors get their names where undici reports them, so that those of a body under way have them too. */
function nameErrors(
  upstream: string,
  handler: Dispatcher.DispatchHandler,
): Dispatcher.DispatchHandler {
  return {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onRequestUpgrade: (controller, status, headers, socket) =>
      handler.onRequestUpgrade?.(controller, status, headers, socket),
    onResponseStart: (controller, status, headers, message) =>
      handler.onResponseStart?.(controller, status, headers, message),
    onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
    onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
    onResponseError: (controller, error) => {
      // A request that its caller gave up fails with the caller's own reason.
      const own = controller?.aborted === true && controller.reason === error
      handler.onResponseError?.(controller, own ? error : toUpstreamError(upstream, error))
    },
  }
}
