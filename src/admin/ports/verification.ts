export interface Verification {
  /** Hashes everything that is stored. Ends early, with what it has found, once `signal` aborts. */
  verify(options: VerifyOptions, onEvent: (event: VerifyEvent) => void): Promise<Verified>
}

export interface VerifyOptions {
  /** Whether what is damaged is fetched again. */
  readonly repair: boolean
  readonly signal: AbortSignal
}

export type VerifyEvent =
  | {
      readonly kind: 'progress'
      readonly checked: number
      readonly total: number
      readonly bytes: number
    }
  | { readonly kind: 'fault'; readonly digest: string; readonly fault: 'damaged' | 'missing' }

/** Numbers of contents. */
export interface Verified {
  readonly checked: number
  readonly ok: number
  readonly damaged: number
  readonly missing: number
  readonly repaired: number
  /** The first of those that stay damaged or missing, and where they belong. */
  readonly unrepaired: readonly {
    readonly digest: string
    readonly fault: 'damaged' | 'missing'
    /** `<upstream>/<repository>` */
    readonly places: readonly string[]
  }[]
}
