import type { Surroundings } from '../config/surroundings.ts'
import { ExitError } from './exit.ts'
import { count, formatBytes } from './format.ts'

const EXIT_PARTIAL = 3
const EXIT_NOT_FOUND = 6

/** As the admin API answers it; see its port `Removal`. */
export interface RemovedAnswer {
  readonly tags: number
  readonly manifests: number
  readonly blobs: number
  /** Bytes. */
  readonly bytes: number
  readonly kept: number
  /** Of what was named, what is not here. */
  readonly unknown: readonly string[]
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
  if (output === 'json')
    io.stdout.write(`${JSON.stringify({ dryRun, ...removed }, undefined, 2)}\n`)
  else io.stdout.write(`${describeRemoved(removed, dryRun)}\n`)
  for (const name of removed.unknown) io.stderr.write(`${name}: not here\n`)
}

export function describeRemoved(removed: RemovedAnswer, dryRun: boolean): string {
  const { tags, manifests, blobs, bytes, kept } = removed
  const what = [count(tags, 'tag'), count(manifests, 'manifest'), count(blobs, 'blob')].join(', ')
  const verb = dryRun ? 'would free' : 'freed'
  const stays = kept === 0 ? '' : `; ${kept} kept: pinned or in use`
  return `${verb} ${formatBytes(bytes)}: ${what}${stays}`
}

/** @throws {ExitError} 6 when nothing of what was named is here, 3 when only some of it went */
export function requireRemoved(removed: RemovedAnswer): void {
  const { tags, manifests, blobs, kept, unknown } = removed
  const hasRemoved = tags + manifests + blobs > 0
  if (unknown.length > 0) {
    throw new ExitError(hasRemoved || kept > 0 ? EXIT_PARTIAL : EXIT_NOT_FOUND)
  }
  if (!hasRemoved && kept > 0) {
    throw new ExitError(
      EXIT_PARTIAL,
      'nothing went: it is pinned (--force, or unpin first) or in use',
    )
  }
}
