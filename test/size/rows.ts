import { join } from 'node:path'

import type { Digest } from '../../src/oci/digest.ts'
import { SqliteCatalog } from '../../src/store/catalog.ts'
import { openDatabase } from '../../src/store/database.ts'
import { Plan } from '../../src/store/plan.ts'
import { Slices } from '../../src/store/slices.ts'
import { byUse, START } from '../../src/store/use-order.ts'
import { fillDataDirectory } from './data-directory.ts'
import { catalogLatency } from './lookups.ts'
import type { Spread } from './spread.ts'

const PLANNED = 10_000

/** What a database without files says of so many blobs. */
export interface RowFigures {
  readonly blobs: number
  readonly images: number
  readonly databaseBytes: number
  /** Opening it, with the check of all its pages, milliseconds of CPU. */
  readonly openMs: number
  /** To plan the eviction of so many contents, milliseconds of CPU. */
  readonly planMs: number
  /** A tag and a layer of it, milliseconds. */
  readonly lookup: Spread
}

export async function measureRows(
  path: string,
  blobs: number,
  planned = PLANNED,
): Promise<RowFigures> {
  const filled = await fillDataDirectory(path, blobs, { withFiles: false })
  const before = process.cpuUsage()
  const { database } = openDatabase(join(path, 'larder.db'))
  const openMs = since(before)
  const catalog = new SqliteCatalog(database)
  const planMs = await plan(catalog, planned)
  await catalog.close()
  const lookup = await catalogLatency(path, filled.images)
  const { images, databaseBytes } = filled
  return { blobs: filled.blobs, images, databaseBytes, openMs, planMs, lookup }
}

async function plan({ retention: rows }: SqliteCatalog, planned: number): Promise<number> {
  const nothing = { has: (_: Digest) => false, isProtected: (_: Digest) => false }
  const slices = new Slices()
  const common = { rows, slices, leases: nothing, protection: nothing, now: Date.now }
  const made = new Plan({ ...common, keepsRecent: true, gone: [] })
  const before = process.cpuUsage()
  for await (const row of byUse({ rows, from: START, usedBefore: Date.now(), slices })) {
    if (made.leaving.length >= planned) break
    if (row.isListed === 0 || made.isReleased(row.digest)) await made.take(row)
  }
  return since(before)
}

function since(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
