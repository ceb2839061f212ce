import type { Logger } from '../log.ts'
import { parseReference, parseRepository } from '../oci/reference.ts'
import { type PinRow, type StoredPinRow, toRow } from './catalog/pins.ts'
import type { SqliteCatalog } from './catalog.ts'
import type { Pin, ReferencePin } from './pin.ts'
import { type ContentSource, contentOf } from './pin-content.ts'
import type { PinFiles } from './pin-files.ts'
import type { PinIndex } from './pin-index.ts'

const PAGE = 1000

export interface AlignOptions extends ContentSource {
  readonly logger: Pick<Logger, 'info'>
}

/**
 * Makes the rows what the files say: rows without a file go, those that differ are corrected. A file
 * that was damaged is written anew, if the database still knows what was in it.
 *
 * @param damaged where files were that could not be read
 * @returns the pins that have no row: all that they reach may be lost with it
 */
export async function alignRows(
  options: AlignOptions,
  files: PinFiles,
  index: PinIndex,
  damaged: readonly string[],
): Promise<readonly ReferencePin[]> {
  const { catalog } = options
  const rows = new Map(readRows(catalog).map((row) => [files.pathOf(nameOfRow(row)), row]))
  const changed: Pin[] = []
  const lost: ReferencePin[] = []
  for (const pin of index.all()) {
    const path = files.pathOf(pin)
    const row = rows.get(path)
    rows.delete(path)
    if (row !== undefined ? !isSame(row, toRow(pin)) : pin.kind === 'pattern') changed.push(pin)
    else if (row === undefined && pin.kind !== 'pattern') lost.push(pin)
  }
  for (const path of damaged) {
    const row = rows.get(path)
    const pin = row && (await pinOf(options, row))
    if (pin === undefined) continue
    await files.write(pin)
    index.put(pin)
    rows.delete(path)
    options.logger.info({ file: path }, 'the pin file was written anew from the database')
  }
  await catalog.deletePinRows([...rows.values()].map(({ id }) => id))
  await catalog.putPins(changed)
  return lost
}

function readRows(catalog: SqliteCatalog): StoredPinRow[] {
  const rows: StoredPinRow[] = []
  for (let after = 0; ; ) {
    const page = catalog.pins.page(after, PAGE)
    rows.push(...page)
    const last = page.at(-1)
    if (last === undefined) return rows
    after = last.id
  }
}

function isSame(a: PinRow, b: PinRow): boolean {
  return (Object.keys(b) as (keyof PinRow)[]).every((key) => a[key] === b[key])
}

function nameOfRow({ kind, owner, ...row }: PinRow) {
  return kind === 'pattern' ? { kind, owner, pattern: row.reference } : { kind, owner, ...row }
}

async function pinOf(source: ContentSource, row: PinRow): Promise<Pin | undefined> {
  const { owner, createdAt, expiresAt, digest } = row
  const kept = { owner, createdAt, expiresAt: expiresAt ?? undefined }
  if (row.kind === 'pattern') return { kind: row.kind, pattern: row.reference, ...kept }
  if (digest === null) return undefined
  const place = { upstream: row.upstream, repository: parseRepository(row.repository) }
  const content = await contentOf(source, place, digest)
  if (content === undefined) return undefined
  const reference = parseReference(row.reference)
  const tag = reference.kind === 'tag' ? reference.tag : undefined
  const record = tag === undefined ? undefined : await source.catalog.getTag(place, tag)
  const checkedAt = record?.checkedAt ?? createdAt
  return {
    ...kept,
    ...content,
    kind: row.kind,
    reference: tag ?? digest,
    checkedAt,
    follows: row.follows === 1,
  }
}
