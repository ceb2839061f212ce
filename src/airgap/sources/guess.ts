/** What may be an image in a text that is there for something else. */

import type { Findings, Spot } from './findings.ts'
import { isHostedRegistry, readImage } from './image-text.ts'

/** Runs of what images are written with; everything else separates. */
const WORD = /[A-Za-z0-9][\w.:/@-]*/g
const MAX_FLAG = 200
const NAMED_IMAGE = /image/i
/** `image: x`, `"image": "x"`, `sidecar-image=x`, one a line. */
const IMAGE_LINE = /^[ \t-]*["']?[\w.-]*image["']?[ \t]*[:=][ \t]*["']?([^\s"',{}]+)/gim

/** `--foo-image=repo:tag`, `quay.io/a/b:v1`: as `maybe`. @param name the flag, variable or key */
export function guessImages(text: string, name: string, spot: Spot, findings: Findings): void {
  for (const { 0: word, index } of text.matchAll(WORD)) {
    const before = text.slice(Math.max(0, index - MAX_FLAG), index)
    // A URL, a path, and what stands behind a scheme.
    if (word.includes('://') || /[/\\$]$/.test(before)) continue
    const flag = /([\w.-]+)[= ]["']?(?:[^\s"']*,)?$/.exec(before)?.[1] ?? name
    const raw = word.replace(/[.:/@-]+$/, '')
    if (isLikely(raw, NAMED_IMAGE.test(flag))) {
      findings.tryImage(raw, spot, { certainty: 'maybe' })
    }
  }
}

/** The lines of a text that is neither YAML nor JSON as a whole. */
export function guessImageLines(text: string, spot: Spot, findings: Findings): void {
  for (const [, raw = ''] of text.matchAll(IMAGE_LINE)) {
    if (isLikely(raw, true)) findings.tryImage(raw, spot, { certainty: 'maybe' })
  }
}

/** Says enough for an image that nobody could take it for a host, a file or a word. */
export function isFull(raw: string): boolean {
  const reference = readImage(raw)
  if (reference === undefined) return false
  return isHostedRegistry(raw) || reference.digest !== undefined || isTagged(raw)
}

function isLikely(raw: string, isNamedImage: boolean): boolean {
  if (readImage(raw) === undefined) return false
  if (isNamedImage) return isFull(raw) || raw.includes('/')
  if (raw.includes('@')) return true
  // host:8080 and a/b:8080 are ports more often than tags.
  return isTagged(raw) && raw.includes('/') && (isHostedRegistry(raw) || !/:\d+$/.test(raw))
}

function isTagged(raw: string): boolean {
  return /:[^/:]+$/.test(raw)
}
