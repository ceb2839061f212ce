import type { Database, Statement } from 'better-sqlite3'

import type { Digest } from '../../oci/digest.ts'
import type { Child } from '../../oci/manifest.ts'
import type { ManifestRecord } from '../ports.ts'

interface ManifestRow {
  readonly digest: Digest
  readonly media_type: string
  readonly size: number
  readonly subject: Digest | null
  readonly artifact_type: string | null
  readonly annotations: string
}

interface Listed {
  readonly repositoryId: number
  readonly digest: Digest
}

const COLUMNS = 'manifests.digest, media_type, manifests.size, subject, artifact_type, annotations'

/** Rows of `manifests` and `manifest_children`: what their bytes say, whoever has them. */
export class ManifestRows {
  readonly #upsert: Statement<[ManifestRow]>
  readonly #insert: Statement<[ManifestRow]>
  readonly #insertChild: Statement<[Child & { readonly parent: Digest }]>
  readonly #select: Statement<[{ readonly digest: Digest }], ManifestRow>
  readonly #selectListed: Statement<[Listed], ManifestRow>
  readonly #selectReferrers: Statement<[Listed], ManifestRow>

  constructor(database: Database) {
    const insert = `insert into manifests values
      (:digest, :media_type, :size, :subject, :artifact_type, :annotations)`
    // The media type may have been guessed when the bytes were found without a row.
    this.#upsert = database.prepare(
      `${insert}
       on conflict (digest) do update
       set media_type = excluded.media_type, artifact_type = excluded.artifact_type`,
    )
    this.#insert = database.prepare(`${insert} on conflict do nothing`)
    this.#insertChild = database.prepare(
      `insert into manifest_children values (:parent, :digest, :kind, :size)
       on conflict do nothing`,
    )
    this.#select = database.prepare(`select ${COLUMNS} from manifests where digest = :digest`)
    this.#selectListed = database.prepare(
      `select ${COLUMNS}
       from members join manifests on manifests.digest = members.digest
       where members.repository_id = :repositoryId and members.digest = :digest
         and members.kind = 'manifest' and members.confirmed = 1`,
    )
    this.#selectReferrers = database.prepare(
      `select ${COLUMNS}
       from manifests join members on members.digest = manifests.digest
       where manifests.subject = :digest and members.repository_id = :repositoryId
         and members.kind = 'manifest' and members.confirmed = 1
       order by manifests.digest`,
    )
  }

  /** Within a transaction of the caller's, as is {@link adopt}. */
  put(manifest: ManifestRecord, children: readonly Child[]): void {
    this.#upsert.run(toRow(manifest))
    this.#putChildren(manifest.digest, children)
  }

  /** As `put`, unless there is a row: that one came from a registry, this one from a guess. */
  adopt(manifest: ManifestRecord, children: readonly Child[]): void {
    this.#insert.run(toRow(manifest))
    this.#putChildren(manifest.digest, children)
  }

  get(digest: Digest): ManifestRecord | undefined {
    return toRecord(this.#select.get({ digest }))
  }

  getListed(repositoryId: number, digest: Digest): ManifestRecord | undefined {
    return toRecord(this.#selectListed.get({ repositoryId, digest }))
  }

  listReferrers(repositoryId: number, subject: Digest): ManifestRecord[] {
    return this.#selectReferrers.all({ repositoryId, digest: subject }).map(fromRow)
  }

  #putChildren(parent: Digest, children: readonly Child[]): void {
    for (const { digest, kind, size } of children) {
      this.#insertChild.run({ parent, digest, kind, size })
    }
  }
}

function toRow(record: ManifestRecord): ManifestRow {
  return {
    digest: record.digest,
    media_type: record.mediaType,
    size: record.size,
    subject: record.subject ?? null,
    artifact_type: record.artifactType ?? null,
    annotations: JSON.stringify(record.annotations),
  }
}

function toRecord(row: ManifestRow | undefined): ManifestRecord | undefined {
  return row === undefined ? undefined : fromRow(row)
}

function fromRow(row: ManifestRow): ManifestRecord {
  return {
    digest: row.digest,
    mediaType: row.media_type,
    size: row.size,
    subject: row.subject ?? undefined,
    artifactType: row.artifact_type ?? undefined,
    annotations: JSON.parse(row.annotations) as Record<string, string>,
  }
}
