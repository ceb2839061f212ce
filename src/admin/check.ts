import { z } from 'zod'

import type { Endpoint } from './endpoint.ts'
import { answerInEvents } from './event-lines.ts'
import { imageList, MAX_LIST_BYTES, parseInput, platform } from './input.ts'
import type { Checking } from './ports/preloading.ts'

const CHECK = z.strictObject({
  images: imageList,
  platforms: z.array(platform).min(1).optional(),
  referrers: z.boolean().default(false),
  hash: z.boolean().default(false),
})

export interface CheckEndpointOptions {
  readonly checking: Checking
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
}

/** `POST /check`: says of images whether they could be pulled without a network. */
export function checkEndpoint({ checking, monotonic }: CheckEndpointOptions): Endpoint {
  return {
    path: '/check',
    post: {
      action: 'check',
      input: CHECK,
      maxBodyBytes: MAX_LIST_BYTES,
      prepare(input) {
        const { images, platforms, referrers, hash } = parseInput(CHECK, input)
        const request = { images, platforms, referrers, hash }
        return {
          parameters: { images: images.length, referrers, hash },
          run: (response) =>
            answerInEvents(response, {
              monotonic,
              started: { images: images.length },
              async work(lines, signal) {
                const result = await checking.run(
                  request,
                  (image) => lines.write({ event: 'image', ...image }),
                  signal,
                )
                return { done: result, result }
              },
            }),
        }
      },
    },
  }
}
