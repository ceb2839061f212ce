/** What `pull` and `access` ask of a registry elsewhere. */
import type { Readable } from 'node:stream'

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Reference, Repository } from '../oci/reference.ts'
import type { Actions } from './auth.ts'

/** As whom a request is made: with Larder's own credentials, with none, or with the caller's. */
export type Identity = { readonly kind: 'larder' } | { readonly kind: 'anonymous' } | CallerIdentity

export interface CallerIdentity {
  readonly kind: 'caller'
  readonly username: string
  readonly password: string
  /** An HMAC of the two: what caches are keyed by, so that no secret is ever a key. */
  readonly fingerprint: string
}

export interface RequestOptions {
  readonly as: Identity
  /** A token of before would prove a right of before. */
  readonly isTokenNew?: boolean
  readonly signal?: AbortSignal
}

/** One configured upstream, with its mirrors behind it. Every method throws {@link UpstreamError}. */
export interface Registry {
  readonly name: string
  /** HEAD, or GET where the registry gives no digest to a HEAD. */
  headManifest(
    repository: Repository,
    reference: Reference,
    options: RequestOptions,
  ): Promise<RemoteManifestHead>
  /** The body is whole, at most 4 MiB, and hashed against the digest asked for or announced. */
  getManifest(
    repository: Repository,
    reference: Reference,
    options: RequestOptions,
  ): Promise<RemoteManifest>
  headBlob(
    repository: Repository,
    digest: Digest,
    options: RequestOptions,
  ): Promise<{ readonly size: number | undefined }>
  /** Opens the body at `offset`. The bytes are not verified: the flight does that. */
  openBlob(
    repository: Repository,
    digest: Digest,
    options: RequestOptions & { readonly offset: number },
  ): Promise<RemoteBlob>
  /** All pages, within bounds, as the registry gave them. */
  listTags(repository: Repository, options: RequestOptions): Promise<readonly string[]>
  /** All pages; `undefined` when the registry has no referrers API (404). */
  listReferrers(
    repository: Repository,
    subject: Digest,
    options: RequestOptions,
  ): Promise<readonly Descriptor[] | undefined>
  /** For a request that is passed through: where to, and with which `Authorization`. */
  authorize(
    repository: Repository,
    actions: Actions,
    identity: Identity,
  ): Promise<{ readonly origin: string; readonly authorization: string | undefined }>
}

export interface RemoteManifestHead {
  readonly digest: Digest
  readonly mediaType: string | undefined
  readonly size: number | undefined
}

export interface RemoteManifest {
  readonly digest: Digest
  readonly mediaType: string | undefined
  readonly bytes: Buffer
}

export interface RemoteBlob {
  /** Destroy it when it is not read to its end. */
  readonly body: Readable
  /** Where the body begins: `offset`, or 0 when the registry ignored the range. */
  readonly offset: number
  /** Of the whole blob, as announced; `undefined` when the registry did not say. */
  readonly size: number | undefined
  /** Milliseconds for which Larder itself has held the body back until now; absent: never. */
  readonly heldMs?: () => number
}
