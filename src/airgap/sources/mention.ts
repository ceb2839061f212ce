import type { ImageReference } from '../../oci/reference.ts'

/** Where in a source something stands. */
export interface Where {
  /** A file as it was named, `stdin`, or an argument. */
  readonly source: string
  /** From 1; absent where the source as a whole is meant. */
  readonly line?: number
  /** From 1, in UTF-16 code units. */
  readonly column?: number
  /** In YAML and JSON, such as `Deployment/web spec.template.spec.containers[0].image`. */
  readonly path?: string
}

/** `maybe` is what looks like an image in arguments, environment, or a text within a text. */
export type Certainty = 'sure' | 'maybe'

/** One place that names an image. */
export interface ImageMention {
  readonly reference: ImageReference
  /** As it is written there. */
  readonly raw: string
  /** `os/arch[/variant]`, where the source says so. */
  readonly platform?: string
  readonly where: Where
  readonly certainty: Certainty
}

/** `error`: something of the source could not be read, so that images may be missing. */
export type Level = 'note' | 'warning' | 'error'

/** Something to tell about a source. Never holds a value of it: that may be a password. */
export interface Note {
  readonly level: Level
  readonly where: Where
  readonly message: string
}

/** What one source names. */
export interface Found {
  readonly images: readonly ImageMention[]
  readonly notes: readonly Note[]
}
