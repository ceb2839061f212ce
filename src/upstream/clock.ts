/** The two times, handed in so that tests need not wait. Both in milliseconds. */
export interface Clock {
  /** Since the epoch; may jump. */
  now(): number
  /** Since some moment; never jumps. */
  elapsed(): number
}
