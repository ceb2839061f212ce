import type { Reference, Repository } from '../../oci/reference.ts'

/** What a person names: one manifest, or every tag that a glob matches. */
export type Target =
  | {
      readonly kind: 'reference'
      readonly upstream: string
      readonly repository: Repository
      readonly reference: Reference
    }
  /** A glob over `<upstream>/<repository>:<tag>`. */
  | { readonly kind: 'pattern'; readonly pattern: string }
