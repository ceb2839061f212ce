import type { Database, Statement } from 'better-sqlite3'

import type { Digest } from '../../oci/digest.ts'
import type { Repository, Tag } from '../../oci/reference.ts'

export interface PlaceRow {
  readonly id: number
  readonly upstream: string
  readonly repository: Repository
}

export interface TagRow {
  readonly repositoryId: number
  readonly tag: Tag
  readonly digest: Digest
}

interface Page {
  readonly after: string | number
  readonly limit: number
}

interface InPlace {
  readonly repositoryId: number
}

/** What an operator selects for removal, a page at a time. Not by promise: see {@link RetentionRows}. */
export class SelectionRows {
  readonly #places: Statement<[Page], PlaceRow>
  readonly #tags: Statement<[InPlace & Page], TagRow>
  readonly #members: Statement<[InPlace & Page], Digest>
  readonly #tagsOf: Statement<[{ readonly digest: Digest }], TagRow>
  readonly #nameOf: Statement<[{ readonly digest: Digest }], string>
  readonly #placesOf: Statement<[{ readonly digest: Digest }], number>
  readonly #deleteTag: Statement<[Omit<TagRow, 'digest'>]>
  readonly #deleteMember: Statement<[InPlace & { readonly digest: Digest }]>
  readonly #moved: Statement<[Page], { readonly id: number; readonly digest: Digest }>

  constructor(database: Database) {
    this.#places = database.prepare(
      `select repositories.id, upstreams.name as upstream, repositories.name as repository
       from repositories join upstreams on upstreams.id = repositories.upstream_id
       where repositories.id > :after order by repositories.id limit :limit`,
    )
    const tag = 'select repository_id as repositoryId, tag, digest from tags'
    this.#tags = database.prepare(
      `${tag} where repository_id = :repositoryId and tag > :after order by tag limit :limit`,
    )
    this.#tagsOf = database.prepare(`${tag} where digest = :digest`)
    this.#nameOf = database
      .prepare<[{ readonly digest: Digest }], string>(
        `select upstreams.name || '/' || repositories.name || ':' || tags.tag
         from tags
         join repositories on repositories.id = tags.repository_id
         join upstreams on upstreams.id = repositories.upstream_id
         where tags.digest = :digest limit 1`,
      )
      .pluck()
    this.#members = database
      .prepare<[InPlace & Page], Digest>(
        `select members.digest from members join blobs on blobs.digest = members.digest
         where repository_id = :repositoryId and members.digest > :after and confirmed = 1
         order by members.digest limit :limit`,
      )
      .pluck()
    this.#placesOf = database
      .prepare<[{ readonly digest: Digest }], number>(
        'select repository_id from members where digest = :digest and confirmed = 1',
      )
      .pluck()
    this.#deleteTag = database.prepare(
      'delete from tags where repository_id = :repositoryId and tag = :tag',
    )
    this.#deleteMember = database.prepare(
      'delete from members where repository_id = :repositoryId and digest = :digest',
    )
    this.#moved = database.prepare(
      'select id, digest from tag_history where id > :after order by id limit :limit',
    )
  }

  pagePlaces(after: number, limit: number): PlaceRow[] {
    return this.#places.all({ after, limit })
  }

  pageTags(repositoryId: number, after: string, limit: number): TagRow[] {
    return this.#tags.all({ repositoryId, after, limit })
  }

  /** What the registry has given or confirmed there, and is here. */
  pageMembers(repositoryId: number, after: string, limit: number): Digest[] {
    return this.#members.all({ repositoryId, after, limit })
  }

  /** In every place. */
  tagsOf(digest: Digest): TagRow[] {
    return this.#tagsOf.all({ digest })
  }

  /** One of its tags, as `<upstream>/<repository>:<tag>`. */
  nameOf(digest: Digest): string | undefined {
    return this.#nameOf.get({ digest })
  }

  /** Ids of the repositories whose registry has given or confirmed it there. */
  placesOf(digest: Digest): number[] {
    return this.#placesOf.all({ digest })
  }

  /** Its history stays. */
  deleteTag(repositoryId: number, tag: Tag): boolean {
    return this.#deleteTag.run({ repositoryId, tag }).changes > 0
  }

  deleteMember(repositoryId: number, digest: Digest): void {
    this.#deleteMember.run({ repositoryId, digest })
  }

  /** What tags have pointed at, by the id of the move. */
  pageMoves(after: number, limit: number): { readonly id: number; readonly digest: Digest }[] {
    return this.#moved.all({ after, limit })
  }
}
