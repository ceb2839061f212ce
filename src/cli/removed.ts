import type { Surroundings } from '../config/surroundings.ts'
import { ExitError } from './exit.ts'
import { count, formatBytes } from './format.ts'
import { toColumns } from './table.ts'

const EXIT_PARTIAL = 3
const EXIT_NOT_FOUND = 6

/** As the admin API answers it; see its port `Removal`. */
export interface RemovedAnswer {
  readonly tags: number
  readonly manifests: number
  readonly blobs: number
  /** Bytes. */
  readonly bytes: number
  readonly kept: { readonly pinned: number; readonly inUse: number; readonly listed: number }
  /** Of a purge: of what was named, what is not here. */
  readonly unknown?: readonly string[]
  /** Of a collection: what downloads and damage have left behind. */
  readonly files?: { readonly count: number; readonly bytes: number }
  /** The first of them; only of a dry run. */
  readonly items: readonly { readonly name: string; readonly size?: number }[]
}

export interface RemovedOptions {
  readonly output: 'table' | 'json'
  readonly dryRun: boolean
}

/** Says what went, or would go. */
export function printRemoved(
  removed: RemovedAnswer,
  { output, dryRun }: RemovedOptions,
  io: Pick<Surroundings, 'stdout' | 'stderr'>,
): void {
  if (output === 'json') {
    io.stdout.write(`${JSON.stringify({ dryRun, ...removed }, undefined, 2)}\n`)
  } else {
    for (const line of itemLines(removed)) io.stdout.write(`${line}\n`)
    io.stdout.write(`${describeRemoved(removed, dryRun)}\n`)
  }
  for (const name of removed.unknown ?? []) io.stderr.write(`${name}: not here\n`)
}

/** `would free 5.0 MiB: 1 tag, 2 manifests, 3 blobs` */
export function describeRemoved(removed: RemovedAnswer, dryRun: boolean): string {
  const { tags, manifests, blobs, bytes, kept, files } = removed
  const parts = [count(tags, 'tag'), count(manifests, 'manifest'), count(blobs, 'blob')]
  if (files !== undefined && files.count > 0) {
    parts.push(`${count(files.count, 'left-over file')} (${formatBytes(files.bytes)})`)
  }
  if (kept.pinned > 0) parts.push(`${kept.pinned} kept as pinned`)
  if (kept.inUse > 0) parts.push(`${kept.inUse} kept as in use`)
  if (kept.listed > 0) parts.push(`${kept.listed} kept as part of an image that stays`)
  return `${dryRun ? 'would free' : 'freed'} ${formatBytes(bytes)}: ${parts.join(', ')}`
}

/** @throws {ExitError} 6 when nothing of what was named is here, 3 when only some of it went */
export function requireRemoved(
  removed: RemovedAnswer,
  { canForce }: { readonly canForce: boolean },
): void {
  const { tags, manifests, blobs, kept, unknown = [] } = removed
  const hasRemoved = tags + manifests + blobs > 0
  const hasKept = kept.pinned + kept.inUse + kept.listed > 0
  if (unknown.length > 0) throw new ExitError(hasRemoved || hasKept ? EXIT_PARTIAL : EXIT_NOT_FOUND)
  if (hasRemoved || !hasKept) return
  const unpin = canForce ? 'unpin it first, or say --force' : 'unpin it first'
  if (kept.pinned + kept.inUse === 0) {
    const message = 'nothing went: images that stay list all of it: purge those'
    throw new ExitError(EXIT_PARTIAL, message)
  }
  const advice = kept.pinned > 0 ? unpin : 'try again later'
  throw new ExitError(EXIT_PARTIAL, `nothing went: all of it is pinned or in use: ${advice}`)
}

function itemLines({ items }: RemovedAnswer): readonly string[] {
  if (items.length === 0) return []
  const rows = items.map(({ name, size }) => [name, size === undefined ? '-' : formatBytes(size)])
  return toColumns([['NAME', 'SIZE'], ...rows])
}
