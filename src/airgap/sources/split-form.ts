import type { Findings } from './findings.ts'
import { isTagged, readImage } from './image-text.ts'
import type { Certainty } from './mention.ts'
import { type At, get, scalarOf, spotOf, stringOf } from './tree.ts'

export const SPLIT_KEYS: ReadonlySet<string> = new Set([
  'registry',
  'hub',
  'repository',
  'image',
  'tag',
  'version',
  'digest',
])

const SPLIT_VERSIONS = ['tag', 'version', 'digest'] as const

/**
 * An image in pieces, as charts' values and custom resources have it: `{registry, repository, tag,
 * digest}`, `{repository, image, version}` with the name's last segment apart, or `{registry, image,
 * tag}`, where `hub` may stand for `registry`.
 *
 * @returns whether it is one
 */
export function readSplitForm(map: At, certainty: Certainty, findings: Findings): boolean {
  const hosted = hostedImage(map)
  const repositoryAt = get(map, 'repository') ?? hosted
  const repository = stringOf(repositoryAt)
  if (repositoryAt === undefined || repository === undefined) return false
  const version = scalarOf(get(map, 'tag')) ?? scalarOf(get(map, 'version'))
  const digest = scalarOf(get(map, 'digest'))
  const raw = nameOf(map) + suffixOf(version, digest)
  if (readImage(raw) === undefined) return false
  // Without a version an operator puts its own there, which nobody can know from here.
  const isComplete = repositoryAt.node === hosted?.node || (version ?? digest) !== undefined
  if (!isComplete && get(map, 'image') === undefined && !hasPull(map)) return false
  return findings.tryImage(raw, spotOf(repositoryAt), {
    certainty: isComplete ? certainty : 'maybe',
    written: repository,
  })
}

/** Without a repository, whose place it takes: where that says its own version, none is beside it. */
function hostedImage(map: At): At | undefined {
  const image = get(map, 'image')
  const isVersioned = isTagged(stringOf(image) ?? '') || SPLIT_VERSIONS.some((key) => get(map, key))
  return hostOf(map) !== undefined && isVersioned ? image : undefined
}

function nameOf(map: At): string {
  const parts = [hostOf(map), stringOf(get(map, 'repository')), stringOf(get(map, 'image'))]
  return parts.filter((part) => part !== undefined && part !== '').join('/')
}

function hostOf(map: At): string | undefined {
  return stringOf(get(map, 'registry')) ?? stringOf(get(map, 'hub'))
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
