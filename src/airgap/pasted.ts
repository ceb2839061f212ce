import { gather } from './sources/gather.ts'
import { readSource } from './sources.ts'

/** What a text names that somebody has pasted. */
export interface Pasted {
  /** Whole references. */
  readonly images: readonly string[]
  /** What may be images, and is in none of the places that are there for them. */
  readonly maybe: readonly string[]
  /** What could not be read, a line each: images may be missing. */
  readonly problems: readonly string[]
}

/** A list, Kubernetes YAML, a Compose file: whatever names images. Never throws. */
export function readPasted(text: string): Pasted {
  const { images, maybe, notes } = gather([readSource({ name: 'text', text })])
  return {
    images: images.map(({ name }) => name),
    maybe: maybe.map(({ name }) => name),
    problems: notes.flatMap(({ level, where: { line }, message }) => {
      if (level !== 'error') return []
      return line === undefined ? message : `line ${line}: ${message}`
    }),
  }
}
