import { readFileSync } from 'node:fs'
import type { Agent, IncomingMessage } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { pipeline } from 'node:stream/promises'

import httpProxy from 'http-proxy'

import { challenge } from '../access/challenge.ts'
import type { UpstreamConfig } from '../config/config.ts'
import { Agent as HttpAgent } from '../http.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Identity } from '../upstream/ports.ts'
import type { Target, Upstreams } from '../upstream/routing.ts'
import type { Exchange } from './exchange.ts'
import type { Route } from './route.ts'

export type WriteRoute = Extract<Route, { kind: 'manifest' | 'blob' | 'upload' }>

export interface PassthroughOptions {
  /** Those that are configured now. */
  readonly upstreams: () => Upstreams
  /** Told before the registry is. */
  readonly onChanging: (target: Target) => void
  /** Told before the caller is, so that nobody can read what is no longer true. */
  readonly onChanged: (target: Target, route: WriteRoute) => Promise<void>
}

/** RFC 9110 §7.6.1, and `Trailer`, on which Node's HTTP parser and http-proxy have disagreed. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
]

/** What a registry's answer to a write says. Nothing else comes back. */
const ANSWER_HEADERS = [
  'content-length',
  'content-type',
  'docker-content-digest',
  'docker-upload-uuid',
  'etag',
  'oci-chunk-min-length',
  'oci-filters-applied',
  'oci-subject',
  'oci-tag',
  'range',
  'retry-after',
]

/**
 * What Larder does not answer itself: pushes and deletes, to upstreams that say `writes:
 * passthrough`, with the caller's own credential and never with Larder's.
 */
export class Passthrough {
  readonly #options: PassthroughOptions
  readonly #agents = new Map<UpstreamConfig, Agent>()
  readonly #waiting = new WeakMap<IncomingMessage, (answer: IncomingMessage) => void>()
  readonly #proxy = httpProxy.createProxyServer({ selfHandleResponse: true, xfwd: false })

  constructor(options: PassthroughOptions) {
    this.#options = options
    this.#proxy.on('proxyRes', (answer, request) => this.#waiting.get(request)?.(answer))
  }

  /** Other upstreams are configured now. What is on its way through an old one goes on. */
  retain(configs: ReadonlySet<UpstreamConfig>): void {
    for (const config of this.#agents.keys()) {
      if (!configs.has(config)) this.#agents.delete(config)
    }
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy()
    this.#proxy.close()
  }

  /**
   * @param admitTo throws when the caller may not see what a mount takes from
   * @throws {RegistryError} before anything was sent to the caller
   */
  async pass(
    exchange: Exchange,
    target: Target,
    route: WriteRoute,
    as: Identity,
    admitTo: (source: Target) => void,
  ): Promise<void> {
    const { config, registry } = target.upstream
    const actions = exchange.request.method === 'DELETE' ? 'pull,push,delete' : 'pull,push'
    const { origin, authorization } = await registry.authorize(target.repository, actions, as)
    const { request } = exchange
    const named = request.headers.connection?.toLowerCase().split(/[\s,]+/) ?? []
    for (const name of [...named, ...HOP_BY_HOP]) delete request.headers[name]
    delete request.headers.authorization
    if (authorization !== undefined) request.headers.authorization = authorization
    request.url = this.#path(exchange, target, route, admitTo)
    this.#options.onChanging(target)
    let answer: IncomingMessage | undefined
    try {
      answer = await this.#forward(exchange, origin, config)
    } finally {
      // Without an answer, or with a vague one, the registry may still have done it.
      const status = answer?.statusCode ?? 500
      if (status < 400 || status >= 500) await this.#options.onChanged(target, route)
    }
    await this.#answer(exchange, target, route, answer, new URL(origin))
  }

  /** The upstream's own path: its name for the repository, without `ns`. */
  #path(
    { request }: Exchange,
    target: Target,
    route: WriteRoute,
    admitTo: (source: Target) => void,
  ): string {
    const query = new URLSearchParams(request.url?.split('?')[1])
    query.delete('ns')
    const from = query.get('from')
    if (from !== null) query.set('from', this.#mountSource(target, from, admitTo))
    const text = query.toString()
    const end =
      route.kind === 'upload'
        ? `blobs/uploads${route.rest}`
        : route.kind === 'blob'
          ? `blobs/${route.digest}`
          : `manifests/${route.reference.kind === 'tag' ? route.reference.tag : route.reference.digest}`
    return `/v2/${target.repository}/${end}${text === '' ? '' : `?${text}`}`
  }

  /** A mount names its source as the caller sees it; a blob of another registry cannot be mounted. */
  #mountSource(target: Target, from: string, admitTo: (source: Target) => void): string {
    const source = this.#options.upstreams().resolve(target.namespace, from)
    if (source.upstream !== target.upstream) return from
    admitTo(source)
    return source.repository
  }

  #forward({ request, response }: Exchange, origin: string, config: UpstreamConfig) {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const { connectTimeoutMs, idleTimeoutMs } = config.limits
    this.#waiting.set(request, resolve)
    response.once('close', () => reject(new Error('the caller has gone')))
    const options = {
      target: origin,
      changeOrigin: true,
      agent: this.#agentOf(config),
      proxyTimeout: connectTimeoutMs + idleTimeoutMs,
    }
    this.#proxy.web(request, response, options, (cause) => {
      const message = 'the registry could not be reached'
      reject(new RegistryError('UPSTREAM_FAILED', { message, cause }))
    })
    return promise
  }

  async #answer(
    { response, request, origin }: Exchange,
    target: Target,
    route: WriteRoute,
    answer: IncomingMessage,
    registry: URL,
  ): Promise<void> {
    const status = answer.statusCode ?? 502
    const { allowPlainChallenge, name } = target.upstream.config
    if (status === 401) {
      answer.resume()
      throw refused(origin.peer.isEncrypted || allowPlainChallenge, name)
    }
    for (const header of ANSWER_HEADERS) {
      const value = answer.headers[header]
      if (value !== undefined) response.setHeader(header, value)
    }
    const { location } = answer.headers
    if (location !== undefined) {
      response.setHeader('Location', localLocation(location, registry, target, route))
    }
    response.writeHead(status)
    if (request.method === 'HEAD') response.end()
    else await pipeline(answer, response)
  }

  #agentOf(config: UpstreamConfig): Agent {
    const known = this.#agents.get(config)
    if (known !== undefined) return known
    const { url, caFile, clientCertFile, clientKeyFile } = config
    const read = (file: string | undefined) => file && readFileSync(file)
    const agent = url.startsWith('https:')
      ? new HttpsAgent({
          keepAlive: true,
          ca: read(caFile),
          cert: read(clientCertFile),
          key: read(clientKeyFile),
        })
      : new HttpAgent({ keepAlive: true })
    this.#agents.set(config, agent)
    return agent
  }
}

/** The registry's own challenge would send the caller's secret to a host of the registry's choosing. */
function refused(mayChallenge: boolean, realm: string): RegistryError {
  return mayChallenge ? challenge(realm) : new RegistryError('DENIED')
}

/**
 * Where an upload goes on, as the caller has to ask Larder for it: relative, under the name that the
 * caller uses, with the caller's `ns`.
 */
function localLocation(location: string, origin: URL, target: Target, route: WriteRoute): string {
  const url = URL.parse(location, origin)
  const base = origin.pathname.replace(/\/$/, '')
  const prefix = `${base}/v2/${target.repository}/`
  if (url === null || url.host !== origin.host || !url.pathname.startsWith(prefix)) {
    const message = 'the registry wants the upload sent to another host'
    throw new RegistryError('UPSTREAM_FAILED', { message })
  }
  const { ns, name } = route.address
  if (ns !== undefined) url.searchParams.set('ns', ns)
  return `/v2/${name}/${url.pathname.slice(prefix.length)}${url.search}`
}
