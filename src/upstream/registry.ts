import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Reference, Repository } from '../oci/reference.ts'
import type { Actions } from './auth.ts'
import type { Bandwidth } from './bandwidth.ts'
import { headBlob, openBlob } from './blobs.ts'
import { discard } from './body.ts'
import type { Endpoint } from './endpoint.ts'
import { listReferrers, listTags } from './lists.ts'
import { getManifest, headManifest } from './manifests.ts'
import type {
  Identity,
  Registry,
  RemoteBlob,
  RemoteManifest,
  RemoteManifestHead,
  RequestOptions,
} from './ports.ts'
import type { Retry } from './retry.ts'

export interface RegistryClientOptions {
  /** The configured name. */
  readonly name: string
  /** In the order in which they are to be tried; exactly one is authoritative. */
  readonly endpoints: readonly Endpoint[]
  readonly retry: Retry
  /** What blobs share; absent: no limit. */
  readonly bandwidth?: Bandwidth | undefined
  /** Whether nobody is given more than anyone: Larder has no credentials, and asks for none. */
  readonly isPublicOnly: boolean
  /** Lets go of what is not a connection. */
  readonly onClose: () => void
}

/** One configured upstream over HTTP. */
export class RegistryClient implements Registry {
  readonly name: string
  readonly #options: RegistryClientOptions
  readonly #registry: Endpoint

  constructor(options: RegistryClientOptions) {
    const registry = options.endpoints.find(({ authoritative }) => authoritative)
    if (registry === undefined) throw new Error(`upstream ${options.name} has no registry`)
    this.name = options.name
    this.#options = options
    this.#registry = registry
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
    const { bandwidth } = this.#options
    const blob = await this.#run(options, (one) => openBlob(one, repository, digest, options))
    return bandwidth === undefined ? blob : { ...blob, ...bandwidth.limit(blob.body) }
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
    const authorization = await this.#options.retry.once(this.#registry, ({ exchange }) =>
      exchange.authorize({ repository, actions }, { as: identity }),
    )
    return { origin: base.href.replace(/\/$/, ''), authorization }
  }

  /** Whether the registry itself answers, and takes Larder's credentials: `GET /v2/`. */
  async ping(options: RequestOptions = { as: { kind: 'larder' } }): Promise<void> {
    const { exchange } = this.#registry
    const request = { kind: 'ping', method: 'GET', path: '/v2/', repository: undefined } as const
    const response = await exchange.send(request, options)
    discard(response.body)
  }

  /** Lets what is under way end within `graceMs`, and cuts the rest. */
  async close(graceMs = 0): Promise<void> {
    this.#options.onClose()
    await Promise.all(this.#options.endpoints.map(({ dispatchers }) => dispatchers.close(graceMs)))
  }

  /**
   * Mirrors answer for Larder only. What the public or a caller may read is asked of the registry
   * itself: a mirror may be open to more, and a caller's password is none of its business.
   */
  async #run<T>(
    { as, signal }: RequestOptions,
    operation: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> {
    const { endpoints, retry, isPublicOnly } = this.#options
    const mirrored = as.kind === 'larder' || (as.kind === 'anonymous' && isPublicOnly)
    return await retry.run(mirrored ? endpoints : [this.#registry], operation, signal)
  }
}
