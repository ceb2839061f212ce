import type { Database, Statement } from 'better-sqlite3'

import type { Digest } from '../../oci/digest.ts'
import type { Child } from '../../oci/manifest.ts'
import type { Tag } from '../../oci/reference.ts'
import type { Pin } from '../pin.ts'
import type { Place } from '../ports.ts'

/** A row of `pins`. Of a pattern, `reference` is the glob, and upstream and repository are empty. */
export interface PinRow {
  readonly upstream: string
  readonly repository: string
  readonly reference: string
  readonly kind: Pin['kind']
  readonly owner: string
  readonly digest: Digest | null
  readonly follows: 0 | 1
  readonly createdAt: number
  readonly expiresAt: number | null
}

export interface StoredPinRow extends PinRow {
  readonly id: number
}

/** A tag, where it is. */
export interface PlacedTag extends Place {
  readonly tag: Tag
}

/** A page of tags that has more after it begins again from its last one. */
export interface TagKey {
  readonly repositoryId: number
  readonly tag: string
}

interface OfDigest {
  readonly digest: Digest
}

/** Rows of `pins`, and the ways from one manifest to another that protection goes. */
export class PinRows {
  readonly #upsert: Statement<[PinRow]>
  readonly #delete: Statement<[{ readonly id: number }]>
  readonly #deleteKey: Statement<[PinRow]>
  readonly #page: Statement<[{ readonly after: number; readonly limit: number }], StoredPinRow>
  readonly #tagsOf: Statement<[OfDigest], PlacedTag>
  readonly #tagPage: Statement<
    [TagKey & { readonly limit: number }],
    PlacedTag & TagKey & { readonly digest: Digest }
  >
  readonly #subject: Statement<[OfDigest], Digest>
  readonly #referrers: Statement<[OfDigest], Digest>
  readonly #parents: Statement<[OfDigest & { readonly limit: number }], Digest>
  readonly #lostParents: Statement<[OfDigest & { readonly limit: number }], Digest>
  readonly #children: Statement<[OfDigest], Child>

  constructor(database: Database) {
    this.#upsert = database.prepare(
      `insert into pins
         (upstream, repository, reference, kind, owner, digest, follows, created_at, expires_at)
       values (:upstream, :repository, :reference, :kind, :owner, :digest, :follows,
         :createdAt, :expiresAt)
       on conflict do update set kind = excluded.kind, digest = excluded.digest,
         follows = excluded.follows, created_at = excluded.created_at,
         expires_at = excluded.expires_at`,
    )
    this.#delete = database.prepare('delete from pins where id = :id')
    this.#deleteKey = database.prepare(
      `delete from pins where upstream = :upstream and repository = :repository
         and reference = :reference and owner = :owner`,
    )
    this.#page = database.prepare(
      `select id, upstream, repository, reference, kind, owner, digest, follows,
         created_at as createdAt, expires_at as expiresAt
       from pins where id > :after order by id limit :limit`,
    )
    const named = 'upstreams.name as upstream, repositories.name as repository, tags.tag'
    const joined = `tags join repositories on repositories.id = tags.repository_id
       join upstreams on upstreams.id = repositories.upstream_id`
    this.#tagsOf = database.prepare(`select ${named} from ${joined} where tags.digest = :digest`)
    this.#tagPage = database.prepare(
      `select ${named}, tags.digest, tags.repository_id as repositoryId from ${joined}
       where (tags.repository_id, tags.tag) > (:repositoryId, :tag)
       order by tags.repository_id, tags.tag limit :limit`,
    )
    this.#subject = database
      .prepare<[OfDigest], Digest>(
        'select subject from manifests where digest = :digest and subject is not null',
      )
      .pluck()
    this.#referrers = database
      .prepare<[OfDigest], Digest>('select digest from manifests where subject = :digest')
      .pluck()
    this.#parents = database
      .prepare<[OfDigest & { readonly limit: number }], Digest>(
        'select parent from manifest_children where child = :digest limit :limit',
      )
      .pluck()
    this.#lostParents = database
      .prepare<[OfDigest & { readonly limit: number }], Digest>(
        `select parent from manifest_children where child = :digest
           and not exists (select 1 from blobs where blobs.digest = parent) limit :limit`,
      )
      .pluck()
    this.#children = database.prepare(
      'select child as digest, kind, size from manifest_children where parent = :digest',
    )
  }

  put(row: PinRow): void {
    this.#upsert.run(row)
  }

  delete(row: PinRow): void {
    this.#deleteKey.run(row)
  }

  deleteId(id: number): void {
    this.#delete.run({ id })
  }

  /** At most `limit` rows with an id above `after`, in order. */
  page(after: number, limit: number): StoredPinRow[] {
    return this.#page.all({ after, limit })
  }

  tagsOf(digest: Digest): PlacedTag[] {
    return this.#tagsOf.all({ digest })
  }

  /** At most `limit` tags after `after`, of all places, in order. */
  pageTags(after: TagKey, limit: number) {
    return this.#tagPage.all({ ...after, limit })
  }

  /** What the manifest refers to. */
  subjectOf(digest: Digest): Digest | undefined {
    return this.#subject.get({ digest })
  }

  referrersOf(digest: Digest): Digest[] {
    return this.#referrers.all({ digest })
  }

  /** At most `limit` manifests that list it. */
  parentsOf(digest: Digest, limit: number): Digest[] {
    return this.#parents.all({ digest, limit })
  }

  /** Of {@link parentsOf} those that are not here, such as one that was found to be damaged. */
  lostParentsOf(digest: Digest, limit: number): Digest[] {
    return this.#lostParents.all({ digest, limit })
  }

  childrenOf(digest: Digest): Child[] {
    return this.#children.all({ digest })
  }
}

export function toRow(pin: Pin): PinRow {
  const isPattern = pin.kind === 'pattern'
  return {
    upstream: isPattern ? '' : pin.upstream,
    repository: isPattern ? '' : pin.repository,
    reference: isPattern ? pin.pattern : pin.reference,
    kind: pin.kind,
    owner: pin.owner,
    digest: isPattern ? null : pin.digest,
    follows: !isPattern && pin.follows ? 1 : 0,
    createdAt: pin.createdAt,
    expiresAt: pin.expiresAt ?? null,
  }
}
