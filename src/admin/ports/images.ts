import type { Target } from './target.ts'

export interface Images {
  list(query: ImageQuery): Promise<ImagePage>
  /** `undefined`: nothing is known of it. */
  find(target: Extract<Target, { readonly kind: 'reference' }>): Promise<ImageDetail | undefined>
}

export interface ImageQuery {
  /** A glob over `<upstream>/<repository>:<tag>`, or a text in that; `undefined`: everything. */
  readonly search: string | undefined
  /** By name; largest first; what was used last first; what was pulled most often first. */
  readonly sort: 'name' | 'size' | 'last-use' | 'pulls'
  /** Only what was not used for so many milliseconds; `undefined`: whenever it was. */
  readonly unusedForMs: number | undefined
  readonly limit: number
  /** Where a page before this one has ended. */
  readonly after: ImageCursor | undefined
}

/** An image's place in an order. */
export interface ImageCursor {
  readonly upstream: string
  readonly repository: string
  readonly reference: string
  readonly value: number
}

export interface ImagePage {
  readonly images: readonly ImageSummary[]
  /** `undefined`: there is no more. */
  readonly next: ImageCursor | undefined
}

/** A manifest in a repository, under all of its tags there. All sizes in bytes. */
export interface ImageSummary {
  /** With its first tag, or its digest. */
  readonly name: string
  readonly upstream: string
  readonly repository: string
  readonly digest: string
  /** The first hundred. */
  readonly tags: readonly string[]
  readonly platforms: readonly { readonly platform: string; readonly complete: boolean }[]
  /** Of all that is here, the shared part included. */
  readonly bytes: number
  /** Of that, what stays when the image goes. */
  readonly sharedBytes: number
  /** As far as it is known. */
  readonly missingBytes: number
  /** Whether everything is here, all platforms of an index included. */
  readonly complete: boolean
  /** When it was last pulled, preloaded or imported, epoch milliseconds; `undefined`: it is not here. */
  readonly lastUsedAt: number | undefined
  /** How often nodes have pulled it there; an index once, whatever of it they take. */
  readonly pulls: number
  /** Epoch milliseconds; `undefined`: never. */
  readonly lastPulledAt: number | undefined
  readonly pinned: boolean
}

export interface ImageDetail extends ImageSummary {
  readonly mediaType: string | undefined
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>>
  /** Of the tag that it was asked for by. */
  readonly tag: ImageTag | undefined
  /** Of an index those that it lists, the first hundred; else the image itself. */
  readonly manifests: readonly ImageManifest[]
  /** What has this image as its subject, such as signatures. */
  readonly referrers: readonly ImageReferrer[]
  /** The manifest as its registry gave it; `undefined`: it is not here. */
  readonly raw: string | undefined
}

/** Times in epoch milliseconds. */
export interface ImageTag {
  readonly tag: string
  /** When the registry last said what it means. */
  readonly checkedAt: number
  /** When the registry has since said that there is no such tag, or none for us. */
  readonly refusedAt: number | undefined
  /** What it has meant, the oldest first. */
  readonly history: readonly { readonly digest: string; readonly seenAt: number }[]
}

export interface ImageContent {
  readonly digest: string
  readonly mediaType: string
  /** Bytes. */
  readonly size: number
  readonly here: boolean
}

export interface ImageManifest extends ImageContent {
  readonly platform: string | undefined
  /** Its configuration is the first. */
  readonly layers: readonly ImageContent[]
}

export interface ImageReferrer {
  readonly digest: string
  readonly mediaType: string
  /** Bytes. */
  readonly size: number
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>>
}
