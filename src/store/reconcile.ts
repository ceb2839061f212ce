import { setImmediate } from 'node:timers/promises'

import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import {
  childrenOf,
  MAX_MANIFEST_BYTES,
  type Manifest,
  parseManifest,
  recordOf,
} from '../oci/manifest.ts'
import { isManifestType } from '../oci/media-types.ts'
import type { FoundBlob, SqliteCatalog } from './catalog.ts'
import { faultOf } from './check.ts'
import { DeniedFileError } from './errors.ts'
import type { BlobStore } from './ports.ts'

/** Files or rows looked at before other work gets its turn. */
const SLICE = 128
/** Enough to see whether a file is a JSON object. */
const HEAD_BYTES = 64

export interface ReconcileOptions {
  readonly catalog: SqliteCatalog
  readonly blobs: Pick<BlobStore, 'digests' | 'stat' | 'open'>
  /** Epoch milliseconds. */
  readonly now: () => number
}

export interface Reconciled {
  /** Files that had no row. */
  readonly adopted: number
  /** Rows that had no file. */
  readonly dropped: number
}

/**
 * Makes the catalog agree with the files, in slices between which everything else goes on. On an
 * empty catalog that is to rebuild it. Ends early, without an error, when the catalog is closed.
 */
export async function reconcile(options: ReconcileOptions): Promise<Reconciled> {
  const { files, adopted } = await adoptFiles(options)
  if (!options.catalog.isOpen) return { adopted, dropped: 0 }
  const { blobs } = await options.catalog.totals()
  // Every file has its row by now. As many rows as files: there is none without.
  return { adopted, dropped: blobs === files ? 0 : await dropRows(options) }
}

async function adoptFiles(options: ReconcileOptions) {
  let files = 0
  let adopted = 0
  for await (const digests of options.blobs.digests()) {
    for (let at = 0; at < digests.length; at += SLICE) {
      if (!options.catalog.isOpen) return { files, adopted }
      const slice = digests.slice(at, at + SLICE)
      files += slice.length
      adopted += await adoptSlice(options, slice)
      await setImmediate()
    }
  }
  return { files, adopted }
}

async function adoptSlice(
  { catalog, blobs, now }: ReconcileOptions,
  slice: readonly Digest[],
): Promise<number> {
  const found: FoundBlob[] = []
  for (const digest of await catalog.withoutRow(slice)) {
    const size = await blobs.stat(digest)
    if (size === undefined) continue
    try {
      found.push({ digest, size, manifest: await readManifest(blobs, digest) })
    } catch (error) {
      // One that cannot be read must not keep the others from being found.
      if (!isUnreadable(error)) throw error
    }
  }
  if (found.length === 0 || !catalog.isOpen) return 0
  await catalog.adopt(found, now())
  return found.length
}

async function dropRows({ catalog, blobs }: ReconcileOptions): Promise<number> {
  let dropped = 0
  let after = ''
  while (catalog.isOpen) {
    const page = await catalog.pageBlobs(after, SLICE)
    const last = page.at(-1)
    if (last === undefined) break
    const sizes = await Promise.all(page.map((digest) => blobs.stat(digest)))
    for (const [index, digest] of page.entries()) {
      if (sizes[index] !== undefined || !catalog.isOpen) continue
      await catalog.deleteBlob(digest)
      dropped++
    }
    after = last
    await setImmediate()
  }
  return dropped
}

/** Whether it is this file that cannot be read, and not any file. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof DeniedFileError || faultOf(error) !== undefined
}

/**
 * `undefined` for what is not a manifest, or does not hash to its name, or has gone meanwhile.
 *
 * @param mediaType as which it was served, where that is known
 */
export async function readManifest(
  blobs: Pick<BlobStore, 'open'>,
  digest: Digest,
  mediaType?: string,
): Promise<FoundBlob['manifest']> {
  const blob = await blobs.open(digest)
  if (blob === undefined) return undefined
  try {
    if (blob.size > MAX_MANIFEST_BYTES) return undefined
    const head = await blob.read(0, Math.min(blob.size, HEAD_BYTES))
    if (!head.toString('latin1').trimStart().startsWith('{')) return undefined
    const bytes = await blob.read(0, blob.size)
    const manifest = parseIfManifest(bytes, mediaType)
    if (manifest === undefined || digestOf(bytes, algorithmOf(digest)) !== digest) return undefined
    return { record: recordOf(digest, bytes.byteLength, manifest), children: childrenOf(manifest) }
  } finally {
    await blob.close()
  }
}

/** Other JSON has a `mediaType` too, such as a signature bundle: only known types count. */
function parseIfManifest(bytes: Buffer, mediaType: string | undefined): Manifest | undefined {
  try {
    const manifest = parseManifest(bytes, mediaType)
    return isManifestType(manifest.mediaType) ? manifest : undefined
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}
