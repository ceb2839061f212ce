/** A thread like that which hashes downloads, that ends at the first bytes it is given. */
import { parentPort } from 'node:worker_threads'

import type { ToHashThread } from '../../src/pull/hash-loop.ts'

parentPort?.on('message', ({ kind }: ToHashThread) => {
  if (kind === 'take') process.exit(3)
})
parentPort?.postMessage({ kind: 'ready' })
