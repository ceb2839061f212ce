import { z } from 'zod'

import type { Endpoint } from './endpoint.ts'
import { parseInput } from './input.ts'
import type { Upstreams } from './ports/upstreams.ts'

const MAX_REASON_LENGTH = 500

const TEST = z.strictObject({
  /** Of this upstream, such as `acme/app:v1`. */
  image: z.string().min(1).max(1_024).optional(),
})
const BLOCK = z.strictObject({
  reason: z
    .string()
    .regex(/^\P{Cc}*$/u, 'expected one line')
    .max(MAX_REASON_LENGTH)
    .optional(),
})
const UNBLOCK = z.strictObject({})

/** `/upstreams`: how each registry is; whether it can be reached; whether it is asked at all. */
export function upstreamEndpoints(upstreams: Upstreams): readonly Endpoint[] {
  return [
    { path: '/upstreams', read: async () => ({ upstreams: await upstreams.list() }) },
    {
      path: '/upstreams/:name/test',
      post: {
        action: 'test upstream',
        input: TEST,
        prepare(input, name) {
          const { image } = parseInput(TEST, input)
          const run = async () => {
            const body = await upstreams.test(name, image)
            return { body, result: { ok: body.ok, step: body.steps.at(-1)?.step } }
          }
          return { parameters: { upstream: name, image }, run }
        },
      },
    },
    {
      path: '/upstreams/:name/block',
      post: {
        action: 'block upstream',
        input: BLOCK,
        prepare(input, name) {
          const { reason } = parseInput(BLOCK, input)
          const run = async () => ({ body: await upstreams.block(name, reason), result: {} })
          return { parameters: { upstream: name, reason }, run }
        },
      },
    },
    {
      path: '/upstreams/:name/unblock',
      post: {
        action: 'unblock upstream',
        input: UNBLOCK,
        prepare(input, name) {
          parseInput(UNBLOCK, input)
          const run = async () => ({ body: await upstreams.unblock(name), result: {} })
          return { parameters: { upstream: name }, run }
        },
      },
    },
  ]
}
