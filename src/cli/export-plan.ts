/** What the server says of a bundle before it is made. */
import type { BundledBlob } from '../airgap/bundle/bundle.ts'
import { count, formatBytes } from './format.ts'

/** See the admin API's `/export/plan`. */
export interface PlanAnswer {
  readonly images: number
  readonly blobs: number
  /** Of the plain tar. */
  readonly bytes: number
  /** Images that are not whole, and were allowed not to be. */
  readonly leftOut: readonly Incomplete[]
  /** Images because of which there can be no bundle. */
  readonly missing: readonly Incomplete[]
  /** `larder-bundle.json` */
  readonly bundle: {
    readonly contentAt: string
    readonly blobs: readonly BundledBlob[]
    readonly base?: { readonly id: string; readonly blobs: readonly string[] }
  }
}

export interface Incomplete {
  readonly image: string
  readonly reason?: string
  readonly missing: readonly {
    readonly digest: string
    readonly kind: 'manifest' | 'blob'
    /** Bytes; -1: not known. */
    readonly size: number
    readonly lack: 'missing' | 'damaged' | 'unconfirmed'
  }[]
  readonly missingBytes: number
}

/** Of one image: a whole index may be missing. */
const MAX_SHOWN = 5

/** What is not here, by image and digest. */
export function incompleteLines(images: readonly Incomplete[]): readonly string[] {
  return images.flatMap(({ image, reason, missing }) => {
    const shown = missing.slice(0, MAX_SHOWN).map(({ digest, kind, size, lack }) => {
      const bytes = size < 0 ? '' : `, ${formatBytes(size)}`
      return `  ${lack} ${kind} ${digest}${bytes}`
    })
    const more = missing.length - shown.length
    const rest = more === 0 ? [] : [`  and ${more} more`]
    const why = reason ?? `${count(missing.length, 'content')} not here`
    return [`${image}: ${why}`, ...shown, ...rest]
  })
}
