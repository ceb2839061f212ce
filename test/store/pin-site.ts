import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { Digest } from '../../src/oci/digest.ts'
import { childrenOf, parseManifest, recordOf } from '../../src/oci/manifest.ts'
import { parseRepository, type Tag } from '../../src/oci/reference.ts'
import { FileBlobs } from '../../src/store/blobs.ts'
import type { SqliteCatalog } from '../../src/store/catalog.ts'
import { FAILPOINTS, type Failpoint } from '../../src/store/failpoints.ts'
import { Pins } from '../../src/store/pins.ts'
import type { Place } from '../../src/store/ports.ts'
import { openCatalog } from '../../src/store/rebuild.ts'
import { Unlinking } from '../../src/store/unlinking.ts'
import type { Content } from '../support/images.ts'

export interface Line {
  readonly level: 'info' | 'warn'
  readonly fields: Record<string, unknown>
  readonly message: string
}

/** A store with pins, over a data directory that outlives it. */
export interface PinSite extends AsyncDisposable {
  readonly blobs: FileBlobs
  readonly catalog: SqliteCatalog
  readonly pins: Pins
  readonly unlinking: Unlinking
  readonly lines: readonly Line[]
  /** When the catalog has been filled from the files. */
  readonly rebuilt: Promise<void>
  /** The next time that `point` is reached, it fails. */
  failAt(point: Failpoint): void
  close(): Promise<void>
}

export class Clock {
  at = 1_000_000
  readonly now = () => this.at
}

export async function openSite(path: string, clock = new Clock()): Promise<PinSite> {
  const lines: Line[] = []
  const log = (level: Line['level']) => (fields: unknown, message: string) =>
    void lines.push({ level, fields: fields as Line['fields'], message })
  const logger = { info: log('info'), warn: log('warn') } as never
  const { now } = clock
  const blobs = await FileBlobs.open({ path })
  const { catalog, rebuilt } = openCatalog({ path, blobs, logger, now })
  const failing = new Set<Failpoint>()
  const failAt = (point: Failpoint) => {
    if (failing.delete(point)) throw new Error(`failed at ${point}`)
  }
  const unlinking = new Unlinking()
  const pins = await Pins.open({ path, catalog, blobs, unlinking, logger, now, failAt })
  const close = async () => {
    await pins.close()
    await rebuilt
    await catalog.close()
  }
  return {
    blobs,
    catalog,
    pins,
    unlinking,
    lines,
    rebuilt,
    failAt: (point) => void failing.add(point),
    close,
    [Symbol.asyncDispose]: close,
  }
}

export const PIN_FAILPOINTS = FAILPOINTS.filter((point) => /^(un)?pin\./.test(point))

export function place(repository: string, upstream = 'ghcr.io'): Place {
  return { upstream, repository: parseRepository(repository) }
}

export function tag(text: string): Tag {
  return text as Tag
}

/** As if it were pulled: with everything that it lists, given by the registry of `where`. */
export async function pull(
  site: Pick<PinSite, 'blobs' | 'catalog'>,
  where: Place,
  name: Tag | undefined,
  content: Content,
): Promise<Digest> {
  for (const child of content.children) await pull(site, where, undefined, child)
  for (const [digest, bytes] of content.blobs) {
    await site.blobs.put(digest, bytes)
    await site.catalog.putBlob(digest, bytes.length, 1, where)
  }
  await pullManifest(site, where, name, content)
  return content.manifest.digest
}

/** The manifest alone. */
export async function pullManifest(
  { blobs, catalog }: Pick<PinSite, 'blobs' | 'catalog'>,
  where: Place,
  name: Tag | undefined,
  { manifest: { digest, bytes, mediaType } }: Content,
): Promise<void> {
  const manifest = parseManifest(bytes, mediaType)
  await blobs.put(digest, bytes)
  const tagged = name === undefined ? undefined : { tag: name, checkedAt: 77 }
  const record = recordOf(digest, bytes.length, manifest)
  await catalog.putManifest(where, record, childrenOf(manifest), tagged)
  await catalog.putBlob(digest, bytes.length, 1)
}

/** Every pin file, by its path below `pins/`. */
export async function pinFilesIn(path: string): Promise<string[]> {
  const names = await readdir(join(path, 'pins'), { recursive: true })
  return names.filter((name) => name.endsWith('.json')).sort()
}

export async function loseDatabase(path: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) {
    await rm(join(path, `larder.db${suffix}`), { force: true })
  }
}
