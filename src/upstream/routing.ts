import picomatch from 'picomatch'

import type { TagRule, UpstreamConfig } from '../config/config.ts'
import { RegistryError } from '../oci/errors.ts'
import { normalizeRegistry, parseRepository, type Repository } from '../oci/reference.ts'
import { OfflineRegistry } from './offline.ts'
import type { Registry } from './ports.ts'

/** A registry that is configured, with the client that reaches it. */
export interface Upstream {
  readonly config: UpstreamConfig
  readonly registry: Registry
}

export interface Target {
  readonly upstream: Upstream
  readonly repository: Repository
  /** What a reader of `?ns=` answers in `OCI-Namespace`; `undefined` when it was not used. */
  readonly namespace: string | undefined
}

interface Silent {
  readonly upstream: Upstream
  readonly isFor: (repository: string) => boolean
}

/**
 * The closed world: `?ns=` and first path segments are looked up among what is configured and can
 * select nothing else, so no caller can make Larder talk to a host of the caller's choosing.
 */
export class Upstreams {
  readonly #byMatch: ReadonlyMap<string, Upstream>
  readonly #default: Upstream | undefined
  readonly #allowed: ReadonlyMap<Upstream, (repository: string) => boolean>
  /** Each as it is for repositories of which its registry is never asked, and which those are. */
  readonly #silent: ReadonlyMap<Upstream, Silent>
  readonly all: readonly Upstream[]

  constructor(upstreams: readonly Upstream[]) {
    this.all = upstreams
    this.#byMatch = new Map(upstreams.flatMap((one) => one.config.match.map((key) => [key, one])))
    this.#default = upstreams.find((one) => one.config.default)
    this.#allowed = new Map(upstreams.map((one) => [one, policyOf(one.config)]))
    this.#silent = new Map(upstreams.map((one) => [one, silentOf(one)]))
  }

  get names(): readonly string[] {
    return this.all.map((one) => one.config.name)
  }

  /**
   * @param ns `?ns=`, which decides when it is there; a prefix that agrees with it is stripped
   * @param name the path before the endpoint: `library/alpine` or `docker.io/library/alpine`
   * @throws {RegistryError} `NAME_UNKNOWN` for what is not configured; the caller is not told what is
   */
  resolve(ns: string | undefined, name: string): Target {
    const slash = name.indexOf('/')
    const prefixed = slash < 0 ? undefined : this.find(name.slice(0, slash))
    const upstream = ns === undefined ? (prefixed ?? this.#default) : this.find(ns)
    if (upstream === undefined) throw new RegistryError('NAME_UNKNOWN', { message: notHere(ns) })
    const path = prefixed === upstream && prefixed !== undefined ? name.slice(slash + 1) : name
    const repository = parseRepository(officialName(upstream, path))
    if (!this.#allowed.get(upstream)?.(repository)) {
      throw new RegistryError('DENIED', { message: 'this cache does not serve that repository' })
    }
    const silent = this.#silent.get(upstream)
    const isAsked = silent?.isFor(repository) !== true
    return { upstream: isAsked ? upstream : silent.upstream, repository, namespace: ns }
  }

  /** Whose `match` it is. */
  find(host: string): Upstream | undefined {
    return this.#byMatch.get(normalizeRegistry(host))
  }
}

/** Whoever reads it is at a node, and would else look for the repository. */
function notHere(ns: string | undefined): string {
  return ns === undefined
    ? 'the name does not begin with a registry that is configured in this cache'
    : 'that registry is not configured in this cache'
}

/** On Docker Hub a one-segment name means `library/<name>`. */
function officialName(upstream: Upstream, path: string): string {
  const isHub = upstream.config.match.includes('docker.io')
  return isHub && !path.includes('/') ? `library/${path}` : path
}

function silentOf(upstream: Upstream): Silent {
  const { name, tags } = upstream.config
  return {
    upstream: { ...upstream, registry: new OfflineRegistry(name) },
    isFor: neverAsked(tags),
  }
}

/** Whether every tag of a repository is under `Never`: then so are its digests, blobs and lists. */
function neverAsked(rules: readonly TagRule[]): (repository: string) => boolean {
  const matchers = rules.map(({ match, repository, pullPolicy }) => ({
    isRepository: picomatch(repository, { dot: true }),
    isEveryTag: /^\*+$/.test(match),
    isNever: pullPolicy === 'Never',
  }))
  return (repository) => {
    for (const { isRepository, isEveryTag, isNever } of matchers) {
      if (!isRepository(repository)) continue
      if (!isNever || isEveryTag) return isNever
    }
    return false
  }
}

function policyOf({ repositories }: UpstreamConfig): (repository: string) => boolean {
  const isAllowed = picomatch([...repositories.allow], { dot: true })
  const isDenied = picomatch([...repositories.deny], { dot: true })
  return (repository) => isAllowed(repository) && !isDenied(repository)
}
