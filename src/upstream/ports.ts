/** What `pull` and `access` ask of a registry elsewhere. */
import type { Readable } from 'node:stream'

import type { Descriptor } from '../oci/descriptor.ts'
import type { Digest } from '../oci/digest.ts'
import type { Reference, Repository } from '../oci/reference.ts'
import type { Actions } from './auth.ts'
import type { CircuitState } from './breaker.ts'
import type { RateLimit } from './headers.ts'

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
  /** Nobody waits for it: it lets everybody by who does. Absent: a node waits. */
  readonly urgency?: 'background'
  /** Aborts when somebody has come to wait for it after all: it is no background work any more. */
  readonly raised?: AbortSignal
  /** There is something to serve in place of the answer: a rest is not waited for. */
  readonly hasCopy?: true
  /** Told of the bytes of manifests and lists as they come, of use or not; not of blobs. */
  readonly onBytes?: (bytes: number) => void
}

/** One configured upstream, with its mirrors behind it. Every method throws {@link UpstreamError}. */
export interface Registry {
  readonly name: string
  /**
   * Whether background work has to leave it alone: its quota is nearly used up, it has asked for a
   * rest, or it is not asked at all for having failed. Background work that asks all the same is
   * refused: `throttled`, reason `yielded`.
   */
  isScarce(): boolean
  /** For an operator. */
  status(): RegistryStatus
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

export interface RegistryStatus {
  /** Of its endpoints the best counts. */
  readonly circuit: CircuitState
  /** What it last said of Larder's quota, while that is true. */
  readonly rateLimit: RateLimit | undefined
  /** Milliseconds for which it has asked to be left alone; 0: none. */
  readonly restsMs: number
  /** How many requests wait for a place. */
  readonly waiting: number
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
  /**
   * Told of a piece of the body whose bytes are no longer needed: the memory is read into again.
   * What it is not told of is left alone.
   */
  readonly release?: (piece: Buffer) => void
  /** Its bytes were wrong, or stopped coming: whoever else has them is asked first for a while. */
  readonly setBack?: () => void
}
