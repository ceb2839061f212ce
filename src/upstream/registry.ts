import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Reference, Repository } from '../oci/reference.ts'
import { Activity } from './activity.ts'
import type { Actions } from './auth.ts'
import type { Bandwidth } from './bandwidth.ts'
import { headBlob, openBlob } from './blobs.ts'
import { discard } from './body.ts'
import type { Circuits } from './circuits.ts'
import type { Endpoint } from './endpoint.ts'
import { UpstreamError } from './errors.ts'
import type { Leave, Line } from './line.ts'
import { listReferrers, listTags } from './lists.ts'
import { getManifest, headManifest } from './manifests.ts'
import type { Work } from './places.ts'
import type {
  Identity,
  Registry,
  RegistryStatus,
  RemoteBlob,
  RemoteManifest,
  RemoteManifestHead,
  RequestOptions,
} from './ports.ts'
import type { Quota } from './quota.ts'
import type { Retry } from './retry.ts'
import type { Slabs } from './slabs.ts'
import { isBackground } from './urgency.ts'

/** So long nothing is asked of a client until it is taken for forgotten: see {@link RegistryClient.retire}. */
const RETIRE_MS = 60_000
const RETIRE_GRACE_MS = 10_000

export interface RegistryClientOptions {
  /** The configured name. */
  readonly name: string
  /** In the order in which they are to be tried; exactly one is authoritative. */
  readonly endpoints: readonly Endpoint[]
  readonly retry: Retry
  /** Those of the endpoints. */
  readonly circuits: Circuits
  readonly line: Line
  readonly quota: Quota
  /** What its connections are read into. */
  readonly slabs: Slabs
  /** What blobs share; absent: no limit. */
  readonly bandwidth?: Bandwidth | undefined
  /** Whether nobody is given more than anyone: Larder has no credentials, and asks for none. */
  readonly isPublicOnly: boolean
  /** Whether an operator has forbidden to ask it. */
  readonly isBlocked: () => boolean
  /** Milliseconds of silence until a retired client is closed; default 60 s. */
  readonly retireMs?: number | undefined
  /** Another client takes its place. */
  readonly onRetire: () => void
  /** Lets go of what is not a connection. */
  readonly onClose: () => void
}

/** One configured upstream over HTTP. */
export class RegistryClient implements Registry {
  readonly name: string
  readonly #options: RegistryClientOptions
  readonly #registry: Endpoint
  readonly #activity = new Activity()
  #retirement: Promise<void> | undefined

  constructor(options: RegistryClientOptions) {
    const registry = options.endpoints.find(({ authoritative }) => authoritative)
    if (registry === undefined) throw new Error(`upstream ${options.name} has no registry`)
    this.name = options.name
    this.#options = options
    this.#registry = registry
  }

  isScarce(): boolean {
    const { quota, endpoints, isBlocked } = this.#options
    if (isBlocked()) return true
    // What is open for long enough may be asked again, also by work that nobody waits for.
    return quota.isLow || quota.restsMs > 0 || !this.#isAsked(endpoints)
  }

  status(): RegistryStatus {
    const { circuits, quota, line } = this.#options
    const { rateLimit, restsMs } = quota
    return { circuit: circuits.state, rateLimit, restsMs, waiting: line.waiting }
  }

  async headManifest(
    repository: Repository,
    reference: Reference,
    options: RequestOptions,
  ): Promise<RemoteManifestHead> {
    return await this.#run(options, (one) => headManifest(one, repository, reference, options))
  }

  async getManifest(
    repository: Repository,
    reference: Reference,
    options: RequestOptions,
  ): Promise<RemoteManifest> {
    return await this.#run(options, (one) => getManifest(one, repository, reference, options))
  }

  async headBlob(
    repository: Repository,
    digest: Digest,
    options: RequestOptions,
  ): Promise<{ readonly size: number | undefined }> {
    return await this.#run(options, (one) => headBlob(one, repository, digest, options))
  }

  async openBlob(
    repository: Repository,
    digest: Digest,
    options: RequestOptions & { readonly offset: number },
  ): Promise<RemoteBlob> {
    const { bandwidth, retry, slabs } = this.#options
    const leave = await this.#enter('body', options)
    try {
      const blob = await this.#ask(options, async (one) => {
        const opened = await openBlob(one, repository, digest, options)
        const release = (piece: Buffer) => slabs.release(piece)
        return { ...opened, release, setBack: () => retry.setBack(one) }
      })
      // The connection is in use until then.
      if (blob.body.closed) leave()
      else blob.body.once('close', leave)
      return bandwidth === undefined ? blob : { ...blob, ...bandwidth.limit(blob.body) }
    } catch (error) {
      leave()
      throw error
    }
  }

  async listTags(repository: Repository, options: RequestOptions): Promise<readonly string[]> {
    return await this.#run(options, (one) => listTags(one, repository, options))
  }

  async listReferrers(
    repository: Repository,
    subject: Digest,
    options: RequestOptions,
  ): Promise<readonly Descriptor[] | undefined> {
    return await this.#run(options, (one) => listReferrers(one, repository, subject, options))
  }

  /**
   * For a request that is passed through: where to, and with which `Authorization`.
   *
   * @throws {UpstreamError} `denied` when the registry's token server refuses
   */
  async authorize(
    repository: Repository,
    actions: Actions,
    identity: Identity,
  ): Promise<{ readonly origin: string; readonly authorization: string | undefined }> {
    const { base } = this.#registry
    this.#assertAllowed()
    const end = this.#activity.begin()
    try {
      const authorization = await this.#options.retry.once(this.#registry, ({ exchange }) =>
        exchange.authorize({ repository, actions }, { as: identity }),
      )
      return { origin: base.href.replace(/\/$/, ''), authorization }
    } finally {
      end()
    }
  }

  /** Whether the registry itself answers, and takes Larder's credentials: `GET /v2/`. */
  async ping(options: RequestOptions = { as: { kind: 'larder' } }): Promise<void> {
    const { exchange } = this.#registry
    const request = { kind: 'ping', method: 'GET', path: '/v2/', repository: undefined } as const
    const response = await exchange.send(request, options)
    discard(response.body)
  }

  /**
   * Another client takes its place. Pulls under way go on with this one, some of them with no
   * request open for a while, so it is closed only when nothing has been asked of it for a minute.
   *
   * @returns when it is closed
   */
  retire(): Promise<void> {
    this.#retirement ??= this.#retire()
    return this.#retirement
  }

  /** Lets what is under way end within `graceMs`, and cuts the rest. */
  async close(graceMs = 0): Promise<void> {
    const { endpoints, line, onClose } = this.#options
    this.#activity.stop()
    line.close()
    onClose()
    await Promise.all(endpoints.map(({ dispatchers }) => dispatchers.close(graceMs)))
  }

  async #retire(): Promise<void> {
    const { onRetire, retireMs = RETIRE_MS } = this.#options
    onRetire()
    await this.#activity.silence(retireMs)
    await this.close(RETIRE_GRACE_MS)
  }

  async #run<T>(
    options: RequestOptions,
    operation: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> {
    const leave = await this.#enter('brief', options)
    try {
      return await this.#ask(options, operation)
    } finally {
      leave()
    }
  }

  /** A place is held for the whole of an operation, whichever endpoints it asks in turn. */
  async #enter(work: Work, options: RequestOptions): Promise<Leave> {
    this.#assertAllowed()
    const end = this.#activity.begin()
    let leave: Leave | undefined
    const leaveAll = () => {
      leave?.()
      end()
    }
    try {
      this.#yield(options)
      // What is not asked is refused at once: there is nothing to wait for.
      if (!this.#isAsked(this.#endpointsFor(options))) return leaveAll
      leave = await this.#queue(work, options)
      this.#yield(options)
      return leaveAll
    } catch (error) {
      leaveAll()
      throw error
    }
  }

  /** What waits in the background begins to wait as a node does once a node waits for it. */
  async #queue(work: Work, options: RequestOptions): Promise<Leave> {
    const { line } = this.#options
    const { signal, raised } = options
    if (isBackground(options)) {
      const either = [signal, raised].filter((one) => one !== undefined)
      try {
        return await line.enter({ work, urgency: 'background' }, AbortSignal.any(either))
      } catch (error) {
        if (raised?.aborted !== true || signal?.aborted === true) throw error
      }
    }
    return await line.enter({ work, urgency: 'interactive' }, signal)
  }

  #assertAllowed(): void {
    if (!this.#options.isBlocked()) return
    const message = 'and an operator has blocked its registry'
    throw new UpstreamError('offline', { upstream: this.name, reason: 'blocked', message })
  }

  #yield(options: RequestOptions): void {
    if (!isBackground(options) || !this.isScarce()) return
    const message = 'the registry is left to those who wait for it'
    throw new UpstreamError('throttled', { upstream: this.name, reason: 'yielded', message })
  }

  #isAsked(endpoints: readonly Endpoint[]): boolean {
    return endpoints.some(({ key }) => this.#options.circuits.lets(key))
  }

  async #ask<T>(
    options: RequestOptions,
    operation: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> {
    return await this.#options.retry.run(this.#endpointsFor(options), operation, options.signal)
  }

  /**
   * Mirrors answer for Larder only. What the public or a caller may read is asked of the registry
   * itself: a mirror may be open to more, and a caller's password is none of its business.
   */
  #endpointsFor({ as }: RequestOptions): readonly Endpoint[] {
    const { endpoints, isPublicOnly } = this.#options
    const mirrored = as.kind === 'larder' || (as.kind === 'anonymous' && isPublicOnly)
    return mirrored ? endpoints : [this.#registry]
  }
}
