import type { Digest } from '../../src/oci/digest.ts'

/** Said by the victim, in the order of what it does: from here on, this is so. */
export type Mark =
  /** Its row is committed: it is promised. */
  | { readonly kind: 'stored'; readonly digest: Digest }
  /** Somebody has begun to remove it: it is promised no more. */
  | { readonly kind: 'leaving'; readonly digest: Digest }
  /** The workload itself is about to write into the file. */
  | { readonly kind: 'damaged'; readonly digest: Digest }
  | Change

/** Of what a tag means, or of a pin, by its full name. */
export interface Change {
  readonly kind: 'tag' | 'pin'
  readonly name: string
  readonly meaning: Meaning
  /** Acknowledged; otherwise it has begun, and may be so or as before. */
  readonly isDone: boolean
  /** All that is kept by a pin. */
  readonly content?: readonly Digest[]
}

/** A digest, `null` for none, and `pattern` for a pin that has no digest. */
export type Meaning = Digest | 'pattern' | null

export function parseMark(text: string): Mark {
  return JSON.parse(text) as Mark
}
