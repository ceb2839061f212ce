import type { Target } from './target.ts'

export interface Pins {
  /**
   * Makes the pin, or gives the one that is there this expiry and `follows`.
   *
   * @returns `undefined`: what it names is not here
   */
  pin(request: PinRequest): Promise<Pin | undefined>
  /** Whoever has asked for them. @returns how many there were */
  unpin(target: Target): Promise<number>
  list(): Promise<readonly Pin[]>
}

export interface PinRequest {
  readonly target: Target
  /** Whether it moves with its tag. */
  readonly follows: boolean
  /** Milliseconds from now; `undefined`: until it is taken away. */
  readonly expiresInMs: number | undefined
}

export interface Pin {
  /** `<upstream>/<repository>:<tag>`, `…@<digest>`, or the pattern. */
  readonly name: string
  readonly kind: 'tag' | 'digest' | 'pattern'
  /** `manual`, or the name of a preload job. */
  readonly owner: string
  /** What it holds at present; `undefined` for a pattern, and for what is not here. */
  readonly digest: string | undefined
  readonly follows: boolean
  /** Epoch milliseconds. */
  readonly createdAt: number
  /** Epoch milliseconds. */
  readonly expiresAt: number | undefined
}
