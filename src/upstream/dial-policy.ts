import { lookup as resolve } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'

import { type AddressClass, bareHost, classifyAddress, isLoopbackHost } from './addresses.ts'
import { UpstreamError } from './errors.ts'

export interface DialPolicyOptions {
  /** The configured name, for errors. */
  readonly upstream: string
  /** What the operator typed: may be anywhere. */
  readonly endpoint: URL
  /** Other origins the operator typed: may be anywhere too. */
  readonly trustedOrigins: readonly string[]
  /** The resolver; `dns.lookup` unless a test says otherwise. */
  readonly lookup?: LookupFunction
}

/**
 * Where a connection may go. The configured endpoint may be anywhere; a host that an answer names
 * (a redirect, a token realm) may not reach into networks that the endpoint is no part of.
 * Literal addresses are checked by {@link check}, as nothing looks them up; names are checked when
 * they are resolved, by the functions that sockets use, so that no later answer can differ.
 */
export class DialPolicy {
  readonly #options: DialPolicyOptions
  readonly #trustedHosts: ReadonlySet<string>
  /** Of the endpoint, as last resolved. */
  #own: AddressClass | undefined

  constructor(options: DialPolicyOptions) {
    this.#options = options
    this.#trustedHosts = new Set(options.trustedOrigins.map((origin) => new URL(origin).hostname))
    const host = bareHost(options.endpoint.hostname)
    if (isLoopbackHost(host)) this.#own = 'loopback'
    else if (isIP(host) !== 0) this.#own = classifyAddress(host)
  }

  isOwn(url: URL): boolean {
    return url.origin === this.#options.endpoint.origin
  }

  /**
   * Refuses a target by what can be known before it is resolved.
   *
   * @throws {UpstreamError} `invalid`, reason `redirect`
   */
  check(url: URL): void {
    if (this.isOwn(url)) return
    const { endpoint, trustedOrigins } = this.#options
    if (url.protocol !== 'https:' && !(url.protocol === 'http:' && endpoint.protocol === 'http:')) {
      throw this.#refused('that is not https')
    }
    if (url.username !== '' || url.password !== '') throw this.#refused('with credentials in it')
    if (trustedOrigins.includes(url.origin)) return
    const host = bareHost(url.hostname)
    if (isLoopbackHost(host)) {
      if (!this.#allows('loopback')) throw this.#refused('on this machine')
    } else if (isIP(host) !== 0 && !this.#allows(classifyAddress(host))) {
      throw this.#refused('in a network that it may not name')
    }
  }

  /** For sockets to the endpoint: allows everything and remembers what kind of address it has. */
  readonly lookupOwn: LookupFunction = (hostname, options, callback) => {
    this.#lookup(hostname, options, callback, (classes) => {
      if (classes.every((one) => one === 'loopback')) this.#own = 'loopback'
      else if (classes.every((one) => one === 'loopback' || one === 'private'))
        this.#own = 'private'
      else this.#own = 'public'
      return true
    })
  }

  /** For all other sockets: one forbidden address among several refuses the name. */
  readonly lookupDerived: LookupFunction = (hostname, options, callback) => {
    const trusted = this.#trustedHosts.has(hostname)
    this.#lookup(hostname, options, callback, (classes) => {
      return trusted || classes.every((one) => this.#allows(one))
    })
  }

  #lookup(
    hostname: string,
    options: Parameters<LookupFunction>[1],
    callback: Parameters<LookupFunction>[2],
    accepts: (classes: readonly AddressClass[]) => boolean,
  ): void {
    const lookup = this.#options.lookup ?? (resolve as LookupFunction)
    lookup(hostname, { ...options, all: true }, (error, answer) => {
      if (error) return callback(error, [])
      const addresses = typeof answer === 'string' ? [] : answer
      const first = addresses[0]
      if (first === undefined || !accepts(addresses.map((one) => classifyAddress(one.address)))) {
        // Sockets fail with whatever error they are given; only its type says it must be of the system.
        const error: Error = this.#refused('in a network that it may not name')
        return callback(error, [])
      }
      if (options.all === true) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }

  #allows(target: AddressClass): boolean {
    if (target === 'loopback') return this.#own === 'loopback'
    if (target === 'private') return this.#own === 'loopback' || this.#own === 'private'
    return target === 'public'
  }

  #refused(where: string): UpstreamError {
    return new UpstreamError('invalid', {
      upstream: this.#options.upstream,
      reason: 'redirect',
      message: `the registry refers to a place ${where}`,
    })
  }
}
