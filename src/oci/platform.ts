import type { Descriptor, Platform } from './descriptor.ts'

/** What is wanted of a multi-platform image. A platform without a variant means all its variants. */
export type Platforms = 'all' | readonly Platform[]

const PLATFORM = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9.]+))?$/

/** As `uname -m` says it, and people write it. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  i386: '386',
}

/** What an architecture is where nobody says which variant. */
const DEFAULT_VARIANTS: Readonly<Record<string, string>> = { amd64: 'v1', arm: 'v7', arm64: 'v8' }

/** Which image a statement about an image, such as BuildKit's provenance, is about. */
const ABOUT = 'vnd.docker.reference.digest'

/** `linux/arm/v7` → a platform; `undefined`: it is none. */
export function parsePlatform(text: string): Platform | undefined {
  const [, os, architecture, variant] = PLATFORM.exec(text.toLowerCase()) ?? []
  if (os === undefined || architecture === undefined) return undefined
  return {
    os,
    architecture: ARCHITECTURES[architecture] ?? architecture,
    ...(variant === undefined ? {} : { variant }),
  }
}

/** `linux/arm/v7` */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/')
}

/**
 * The entries of an index that `platforms` want: those for them, those that do not say what they
 * are for, and the statements about what was chosen.
 */
export function chooseManifests(
  manifests: readonly Descriptor[],
  platforms: Platforms,
): readonly Descriptor[] {
  if (platforms === 'all') return manifests
  const isChosen = ({ platform }: Descriptor) =>
    platform === undefined || platforms.some((wanted) => isMatch(platform, wanted))
  const chosen = new Set(manifests.filter((one) => subjectOf(one) === undefined && isChosen(one)))
  const digests = new Set<string>([...chosen].map(({ digest }) => digest))
  return manifests.filter((one) => chosen.has(one) || digests.has(subjectOf(one) ?? ''))
}

/** Whether an image for `actual` is one for `wanted`. */
export function isMatch(actual: Platform, wanted: Platform): boolean {
  if (actual.os !== wanted.os || actual.architecture !== wanted.architecture) return false
  return wanted.variant === undefined || variantOf(actual) === variantOf(wanted)
}

function variantOf({ architecture, variant }: Platform): string | undefined {
  return variant ?? DEFAULT_VARIANTS[architecture]
}

function subjectOf({ annotations }: Descriptor): string | undefined {
  return annotations?.[ABOUT]
}
