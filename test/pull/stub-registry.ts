import { Readable } from 'node:stream'

import type { Descriptor } from '../../src/oci/descriptor.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { formatReference, type Reference, type Repository } from '../../src/oci/reference.ts'
import type { Registry, RequestOptions } from '../../src/upstream/ports.ts'
import type { BuiltManifest } from '../support/images.ts'
import { upstreamError } from './scripted-source.ts'

type Method =
  | 'headManifest'
  | 'getManifest'
  | 'headBlob'
  | 'openBlob'
  | 'listTags'
  | 'listReferrers'

/** A registry behind its port, in memory: it counts, waits and fails as it is told. */
export class StubRegistry implements Registry {
  readonly name = 'test'
  announcesSizes = true
  /** What was asked, such as `headManifest acme/app v1`. */
  readonly asked: string[] = []
  /** By `repository reference`. */
  readonly manifests = new Map<string, BuiltManifest>()
  /** By `repository digest`. */
  readonly blobs = new Map<string, Buffer>()
  readonly tags = new Map<string, readonly string[]>()
  readonly referrers = new Map<string, readonly Descriptor[]>()
  /** Before every answer; what it throws is the answer. */
  before: (method: Method, as: RequestOptions['as'], signal?: AbortSignal) => Promise<void> | void =
    () => undefined

  /** What it says of itself to background work. */
  scarce = false

  isScarce(): boolean {
    return this.scarce
  }

  status() {
    return { circuit: 'closed', rateLimit: undefined, restsMs: 0, waiting: 0 } as const
  }

  put(repository: string, manifest: BuiltManifest, ...tags: readonly string[]): void {
    for (const reference of [manifest.digest, ...tags]) {
      this.manifests.set(`${repository} ${reference}`, manifest)
    }
  }

  count(method: Method): number {
    return this.asked.filter((one) => one.startsWith(`${method} `)).length
  }

  async headManifest(repository: Repository, reference: Reference, options: RequestOptions) {
    const { digest, mediaType, bytes } = await this.#manifest(
      'headManifest',
      repository,
      reference,
      options,
    )
    return { digest, mediaType, size: bytes.length }
  }

  async getManifest(repository: Repository, reference: Reference, options: RequestOptions) {
    return this.#manifest('getManifest', repository, reference, options)
  }

  async headBlob(repository: Repository, digest: Digest, options: RequestOptions) {
    return { size: (await this.#blob('headBlob', repository, digest, options)).length }
  }

  async openBlob(
    repository: Repository,
    digest: Digest,
    options: RequestOptions & { readonly offset: number },
  ) {
    const bytes = await this.#blob('openBlob', repository, digest, options)
    const { offset } = options
    const size = this.announcesSizes ? bytes.length : undefined
    return { body: Readable.from([bytes.subarray(offset)]), offset, size }
  }

  async listTags(repository: Repository, options: RequestOptions) {
    await this.#ask('listTags', options, repository)
    return known(this.tags.get(repository))
  }

  async listReferrers(repository: Repository, subject: Digest, options: RequestOptions) {
    await this.#ask('listReferrers', options, repository, subject)
    return this.referrers.get(`${repository} ${subject}`)
  }

  async authorize() {
    return { origin: 'http://test', authorization: undefined }
  }

  async #manifest(
    method: 'headManifest' | 'getManifest',
    repository: Repository,
    reference: Reference,
    options: RequestOptions,
  ): Promise<BuiltManifest> {
    const text = formatReference(reference)
    await this.#ask(method, options, repository, text)
    return known(this.manifests.get(`${repository} ${text}`))
  }

  async #blob(
    method: 'headBlob' | 'openBlob',
    repository: Repository,
    digest: Digest,
    options: RequestOptions,
  ): Promise<Buffer> {
    await this.#ask(method, options, repository, digest)
    return known(this.blobs.get(`${repository} ${digest}`))
  }

  async #ask(
    method: Method,
    { as, signal }: RequestOptions,
    ...what: readonly string[]
  ): Promise<void> {
    this.asked.push([method, ...what].join(' '))
    await this.before(method, as, signal)
  }
}

function known<T>(value: T | undefined): T {
  if (value === undefined) throw upstreamError('unknown', 404, 'not_found')
  return value
}
