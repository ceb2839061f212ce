import { z } from 'zod'

import type { Endpoint } from './endpoint.ts'
import { durationMs, parseInput } from './input.ts'
import type { Removal } from './ports/removal.ts'

const GC = z.strictObject({
  dryRun: z.boolean().default(false),
  olderThan: durationMs.optional(),
})

/** `POST /gc`: removes what nothing names any more. */
export function gcEndpoint(removal: Pick<Removal, 'gc'>): Endpoint {
  return {
    path: '/gc',
    post: {
      action: 'gc',
      input: GC,
      prepare(input) {
        const { dryRun, olderThan } = parseInput(GC, input)
        const options = { dryRun, olderThanMs: olderThan }
        return {
          parameters: options,
          run: async () => {
            const body = await removal.gc(options)
            const { items: _items, ...result } = body
            return { body, result }
          },
        }
      },
    },
  }
}
