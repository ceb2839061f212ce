import type { Database, Statement } from 'better-sqlite3'

import type { Digest } from '../../oci/digest.ts'
import type { Child } from '../../oci/manifest.ts'
import type { Repository, Tag } from '../../oci/reference.ts'
import type { PlaceRow } from './selection.ts'

/** What a manifest lists. */
export interface ListedContent extends Child {
  /** Bytes of it that are here; `null`: it is not. */
  readonly storedSize: number | null
}

/** What a repository has, whatever it is. */
export interface MemberRow {
  readonly digest: Digest
  readonly kind: Child['kind']
  readonly confirmed: 0 | 1
}

/** What a manifest lists, as a sum. */
export interface ListedSum {
  /** Of all that is here. */
  readonly bytes: number
  /** 1: it lists manifests, whose own lists are not in the sum. */
  readonly hasManifests: 0 | 1
}

export interface Pulls {
  readonly pulls: number
  /** Epoch milliseconds; `null`: never. */
  readonly pulledAt: number | null
}

export type MemberKey = Pick<MemberRow, 'kind'> & { readonly digest: string }

interface InPlace {
  readonly repositoryId: number
}

interface OfDigest {
  readonly digest: Digest
}

/** What is shown of images, read only. Not by promise: see {@link RetentionRows}. */
export class ImageRows {
  readonly #nextUpstream: Statement<[{ readonly after: string }], string>
  readonly #nextPlace: Statement<[{ readonly upstream: string; readonly after: string }], PlaceRow>
  readonly #place: Statement<[{ readonly upstream: string; readonly repository: string }], PlaceRow>
  readonly #tags: Statement<[InPlace & OfDigest & { readonly limit: number }], Tag>
  readonly #members: Statement<[InPlace & MemberKey & { readonly limit: number }], MemberRow>
  readonly #isLoose: Statement<[InPlace & OfDigest], 0 | 1>
  readonly #listed: Statement<[OfDigest], ListedContent>
  readonly #listedSum: Statement<[OfDigest], ListedSum>
  readonly #parents: Statement<[OfDigest & { readonly limit: number }], Digest>
  readonly #pulls: Statement<[InPlace & OfDigest], Pulls>
  readonly #repositoriesOf: Statement<[OfDigest], number>
  readonly #isTaggedElsewhere: Statement<[InPlace & OfDigest], 0 | 1>

  constructor(database: Database) {
    this.#nextUpstream = database
      .prepare<[{ readonly after: string }], string>(
        'select name from upstreams where name > :after order by name limit 1',
      )
      .pluck()
    const place = `select repositories.id, upstreams.name as upstream,
         repositories.name as repository
       from upstreams join repositories on repositories.upstream_id = upstreams.id
       where upstreams.name = :upstream`
    this.#nextPlace = database.prepare(
      `${place} and repositories.name > :after order by repositories.name limit 1`,
    )
    this.#place = database.prepare(`${place} and repositories.name = :repository`)
    this.#tags = database
      .prepare<[InPlace & OfDigest & { readonly limit: number }], Tag>(
        `select tag from tags where digest = :digest and repository_id = :repositoryId
         order by tag limit :limit`,
      )
      .pluck()
    this.#members = database.prepare(
      `select digest, kind, confirmed from members
       where repository_id = :repositoryId and (digest, kind) > (:digest, :kind)
       order by digest, kind limit :limit`,
    )
    this.#isLoose = database
      .prepare<[InPlace & OfDigest], 0 | 1>(
        `select exists (select 1 from blobs where digest = :digest)
           and not exists (
             select 1 from tags where digest = :digest and repository_id = :repositoryId)
           and not exists (
             select 1 from manifests where digest = :digest and subject is not null)
           and not exists (
             select 1 from manifest_children join blobs on blobs.digest = parent
             where child = :digest)`,
      )
      .pluck()
    this.#listed = database.prepare(
      `select child as digest, kind, manifest_children.size, blobs.size as storedSize
       from manifest_children left join blobs on blobs.digest = child
       where parent = :digest`,
    )
    this.#listedSum = database.prepare(
      `select coalesce(sum(blobs.size), 0) as bytes,
         coalesce(max(kind = 'manifest'), 0) as hasManifests
       from manifest_children left join blobs on blobs.digest = child
       where parent = :digest`,
    )
    this.#parents = database
      .prepare<[OfDigest & { readonly limit: number }], Digest>(
        `select parent from manifest_children join blobs on blobs.digest = parent
         where child = :digest limit :limit`,
      )
      .pluck()
    this.#pulls = database.prepare(
      `select pulls, pulled_at as pulledAt from members
       where repository_id = :repositoryId and digest = :digest and kind = 'manifest'`,
    )
    this.#repositoriesOf = database
      .prepare<[OfDigest], number>(
        'select distinct repository_id from members where digest = :digest',
      )
      .pluck()
    this.#isTaggedElsewhere = database
      .prepare<[InPlace & OfDigest], 0 | 1>(
        `select exists (
           select 1 from tags where digest = :digest and repository_id <> :repositoryId)`,
      )
      .pluck()
  }

  /** The first upstream after `after`, by name. */
  nextUpstream(after: string): string | undefined {
    return this.#nextUpstream.get({ after })
  }

  /** The first repository of the upstream after `after`, by name. */
  nextPlace(upstream: string, after: string): PlaceRow | undefined {
    return this.#nextPlace.get({ upstream, after })
  }

  place(upstream: string, repository: Repository): PlaceRow | undefined {
    return this.#place.get({ upstream, repository })
  }

  /** At most `limit` of the repository's tags that mean `digest`, in order. */
  tagsOf(repositoryId: number, digest: Digest, limit: number): Tag[] {
    return this.#tags.all({ repositoryId, digest, limit })
  }

  /** At most `limit` after `after`. */
  pageMembers(repositoryId: number, after: MemberKey, limit: number): MemberRow[] {
    return this.#members.all({ repositoryId, ...after, limit })
  }

  /** Whether it is here, no tag of the repository means it, and it is no part of anything. */
  isLoose(repositoryId: number, digest: Digest): boolean {
    return this.#isLoose.get({ repositoryId, digest }) === 1
  }

  listedBy(digest: Digest): ListedContent[] {
    return this.#listed.all({ digest })
  }

  listedSum(digest: Digest): ListedSum {
    return this.#listedSum.get({ digest }) ?? { bytes: 0, hasManifests: 0 }
  }

  /** At most `limit` manifests that are here and list it. */
  parentsOf(digest: Digest, limit: number): Digest[] {
    return this.#parents.all({ digest, limit })
  }

  /** How often nodes have pulled the manifest there. */
  pullsOf(repositoryId: number, digest: Digest): Pulls {
    return this.#pulls.get({ repositoryId, digest }) ?? { pulls: 0, pulledAt: null }
  }

  /** Those that have it, or have something that lists it. */
  repositoriesOf(digest: Digest): number[] {
    return this.#repositoriesOf.all({ digest })
  }

  /** Whether a tag of another repository means it. */
  isTaggedElsewhere(repositoryId: number, digest: Digest): boolean {
    return this.#isTaggedElsewhere.get({ repositoryId, digest }) === 1
  }
}
