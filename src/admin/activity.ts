import { z } from 'zod'

import type { RecentRequest } from '../api/recent-requests.ts'
import { PULL_RESULTS } from '../oci/pull-result.ts'
import type { Endpoint } from './endpoint.ts'
import { pageLimit, parseInput } from './input.ts'
import type { Activity } from './ports/activity.ts'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 500
const MAX_SEARCH_LENGTH = 512

const seq = z
  .string()
  .regex(/^\d{1,15}$/, 'expected the seq of a request')
  .transform(Number)

const ACTIVITY = z.strictObject({
  upstream: z.string().optional(),
  result: z.enum(PULL_RESULTS).optional(),
  client: z.string().max(64).optional(),
  search: z.string().max(MAX_SEARCH_LENGTH).optional(),
  after: seq.optional(),
  before: seq.optional(),
  limit: pageLimit(MAX_LIMIT).default(DEFAULT_LIMIT),
})

/** `GET /activity` lists the last requests, `GET /clients` who has made them since the start. */
export function activityEndpoints({ recent, clients }: Activity): readonly Endpoint[] {
  return [
    {
      path: '/activity',
      query: ACTIVITY,
      async read({ query }) {
        const { upstream, result, client, search, after, before, limit } = parseInput(
          ACTIVITY,
          query,
        )
        const asked = { upstream, result, client, search, after, before, limit }
        const { requests, last } = recent.list(asked)
        return { requests: requests.map(shown), last }
      },
    },
    { path: '/clients', read: async () => clients.list() },
  ]
}

function shown({ unfinished, ...request }: RecentRequest) {
  return { ...request, finished: unfinished === undefined }
}
