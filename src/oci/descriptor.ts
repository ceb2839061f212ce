import type { Digest } from './digest.ts'

export interface Platform {
  readonly architecture: string
  readonly os: string
  readonly variant?: string
  readonly 'os.version'?: string
}

/** What names content: image-spec v1.1 descriptor.md. Sizes are bytes. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: Platform
  /** Where foreign layers live. Never followed: it would send our credentials to a stranger. */
  readonly urls?: readonly string[]
}
