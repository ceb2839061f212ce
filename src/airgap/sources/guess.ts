/** What may be an image in a text that is there for something else. */

import type { Findings, Spot } from './findings.ts'
import { isHostedRegistry, isTagged, readImage } from './image-text.ts'

/** Runs of what images are written with; everything else separates. */
const WORD = /[A-Za-z0-9][\w.:/@-]*/g
const MAX_FLAG = 200
const NAMED_IMAGE = /image/i
/** `image: x`, `"image": "x"`, `sidecar-image=x`, one a line. */
const IMAGE_LINE = /^[ \t]*(?:-[ \t]+)*["']?[\w.-]*image["']?[ \t]*[:=][ \t]*["']?([^\s"',{}]+)/gim
/** Two names and more, or a port: not the number before a fraction. */
const HOST = /^(?:[\w-]+\.)*(?:[\w-]+\.[a-z]{2,}|[\w-]+:\d+|[\d.]+:\d+)\//i

/** `--foo-image=repo:tag`, `quay.io/a/b:v1`: as `maybe`. @param name the flag, variable or key */
export function guessImages(text: string, name: string, spot: Spot, findings: Findings): void {
  for (const { 0: word, index } of text.matchAll(WORD)) {
    const before = text.slice(Math.max(0, index - MAX_FLAG), index)
    // A URL, a path, and what stands behind a scheme.
    if (word.includes('://') || /[/\\$]$/.test(before)) continue
    const flag = /([\w.-]+)[= ]["']?(?:[^\s"']*,)?$/.exec(before)?.[1] ?? name
    const raw = trimmed(word)
    if (isLikely(raw, NAMED_IMAGE.test(flag))) {
      findings.tryImage(raw, spot, { certainty: 'maybe' })
    }
  }
}

/** The lines of a text that is neither YAML nor JSON as a whole, such as a script. */
export function guessImageLines(text: string, spot: Spot, findings: Findings): void {
  const named = [...text.matchAll(IMAGE_LINE)].map(([, raw = '']) => raw)
  const likely = new Set(named.filter((raw) => isLikely(raw, true)))
  for (const raw of likely.union(hostedIn(text))) {
    findings.tryImage(raw, spot, { certainty: 'maybe' })
  }
}

/** Whether it is worth a look; most texts are not, and some are large. */
export function mayNameImages(text: string): boolean {
  return /image|containers/i.test(text) || hostedIn(text).size > 0
}

/** What says its registry and its version, whatever stands around it. */
function hostedIn(text: string): Set<string> {
  const words = [...text.matchAll(WORD)].map(([word]) => trimmed(word))
  return new Set(words.filter((raw) => HOST.test(raw) && isVersioned(raw)))
}

/** Without what ends a sentence; a pattern would look at what a long word has of it again and again. */
function trimmed(word: string): string {
  let end = word.length
  while (end > 0 && '.:/@-'.includes(word.charAt(end - 1))) end--
  return word.slice(0, end)
}

function isVersioned(raw: string): boolean {
  const reference = raw.includes('://') ? undefined : readImage(raw)
  return reference !== undefined && (reference.digest !== undefined || isTagged(raw))
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
