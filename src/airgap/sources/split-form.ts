import type { Findings } from './findings.ts'
import { readImage } from './image-text.ts'
import type { Certainty } from './mention.ts'
import { type At, get, scalarOf, spotOf, stringOf } from './tree.ts'

export const SPLIT_KEYS: ReadonlySet<string> = new Set([
  'registry',
  'repository',
  'image',
  'tag',
  'version',
  'digest',
])

/**
 * An image in pieces, as charts' values and custom resources have it: `{registry, repository, tag,
 * digest}`, or `{repository, image, version}` with the name's last segment apart.
 *
 * @returns whether it is one
 */
export function readSplitForm(map: At, certainty: Certainty, findings: Findings): boolean {
  const repositoryAt = get(map, 'repository')
  const repository = stringOf(repositoryAt)
  if (repositoryAt === undefined || repository === undefined) return false
  const version = scalarOf(get(map, 'tag')) ?? scalarOf(get(map, 'version'))
  const digest = scalarOf(get(map, 'digest'))
  const raw = nameOf(map, repository) + suffixOf(version, digest)
  if (readImage(raw) === undefined) return false
  // Without a version an operator puts its own there, which nobody can know from here.
  const isComplete = version !== undefined || digest !== undefined
  if (!isComplete && get(map, 'image') === undefined && !hasPull(map)) return false
  return findings.tryImage(raw, spotOf(repositoryAt), {
    certainty: isComplete ? certainty : 'maybe',
    written: repository,
  })
}

function nameOf(map: At, repository: string): string {
  const registry = stringOf(get(map, 'registry'))
  const image = stringOf(get(map, 'image'))
  return [registry, repository, image].filter((part) => part !== undefined && part !== '').join('/')
}

/** A digest may stand in place of the version, or behind it (`v1@sha256:…`). */
function suffixOf(version: string | undefined, digest: string | undefined): string {
  const isDigest = version !== undefined && /^sha(?:256|512):/.test(version)
  const tag = version === undefined ? '' : `${isDigest ? '@' : ':'}${version}`
  return tag + (digest === undefined || tag.includes('@') ? '' : `@${digest}`)
}

function hasPull(map: At): boolean {
  return get(map, 'registry') !== undefined || get(map, 'pullPolicy') !== undefined
}
