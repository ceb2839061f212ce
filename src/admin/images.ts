import { z } from 'zod'

import { GLOB_LIMIT, isCheapGlob } from '../oci/glob.ts'
import type { Endpoint } from './endpoint.ts'
import { AdminError } from './errors.ts'
import { durationMs, pageLimit, parseInput } from './input.ts'
import { formatTarget, parseTarget } from './names.ts'
import type { Names } from './ports/configuration.ts'
import type { ImageCursor, Images } from './ports/images.ts'

const DEFAULT_LIMIT = 50
const MAX_LIMIT = 500
const MAX_SEARCH_LENGTH = 512

const CURSOR = z.strictObject({
  upstream: z.string(),
  repository: z.string(),
  reference: z.string(),
  value: z.number(),
})

/** Where a page ended, as a text that says nothing to anybody else. */
const after = z.string().transform((text, context): ImageCursor => {
  const parsed = CURSOR.safeParse(decode(text))
  if (parsed.success) return parsed.data
  context.addIssue({ code: 'custom', message: 'expected what `next` of the page before says' })
  return z.NEVER
})

const IMAGES = z.strictObject({
  search: z.string().max(MAX_SEARCH_LENGTH).refine(isCheapGlob, GLOB_LIMIT).optional(),
  sort: z.enum(['name', 'size', 'last-use', 'pulls']).default('name'),
  unusedFor: durationMs.optional(),
  limit: pageLimit(MAX_LIMIT).default(DEFAULT_LIMIT),
  after: after.optional(),
})

/** `GET /images` lists what is in the cache, `GET /images/<name>` says all that is known of one. */
export function imageEndpoints(images: Images, names: Names): readonly Endpoint[] {
  return [
    {
      path: '/images',
      query: IMAGES,
      async read({ query }) {
        const { search, sort, unusedFor, limit, after } = parseInput(IMAGES, query)
        const page = await images.list({ search, sort, unusedForMs: unusedFor, limit, after })
        return { images: page.images, next: page.next && encode(page.next) }
      },
    },
    {
      path: '/images/*name',
      async read({ name }) {
        const target = parseTarget(names, name)
        const image = target.kind === 'reference' ? await images.find(target) : undefined
        if (image !== undefined) return image
        const message = `${formatTarget(target)} is not here; larder ls, or GET /api/v1/images, lists what is`
        throw new AdminError('NOT_FOUND', { message })
      },
    },
  ]
}

function encode(cursor: ImageCursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64url')
}

function decode(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString())
  } catch {
    return undefined
  }
}
