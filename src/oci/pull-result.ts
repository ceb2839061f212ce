/** How a pull can end: each has exactly one. The dashboard, the log and the metrics say it in these words. */
export const PULL_RESULTS = [
  'hit',
  'miss',
  'revalidated',
  'stale',
  'coalesced',
  'negative',
  'bypass',
  'denied',
  'error',
] as const

export type PullResult = (typeof PULL_RESULTS)[number]
