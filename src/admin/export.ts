import type { Response } from 'express'
import { z } from 'zod'
import type { ExportRequest } from '../airgap/bundle/plan.ts'
import { isDigest } from '../oci/digest.ts'
import { sendBytes } from './byte-stream.ts'
import type { Change, Endpoint, Outcome } from './endpoint.ts'
import { AdminError } from './errors.ts'
import { imageList, parseInput, platform } from './input.ts'
import { TAR_TYPE } from './media-types.ts'
import { parsePattern } from './names.ts'
import type { Exporting } from './ports/bundles.ts'

/** All the digests that a bundle may have, and some ten thousand images. */
const MAX_BODY_BYTES = 20 * 1024 * 1024

const digest = z.string().refine(isDigest, { error: 'expected a digest such as sha256:…' })

const EXPORT = z.strictObject({
  images: imageList.default([]),
  patterns: z.array(z.string().max(512)).default([]),
  pinned: z.boolean().default(false),
  platforms: z.array(platform).min(1).optional(),
  referrers: z.boolean().default(false),
  /** What another bundle has. */
  exclude: z
    .strictObject({ id: digest, contentAt: z.iso.datetime(), digests: z.array(digest) })
    .optional(),
  allowIncomplete: z.boolean().default(false),
})

/** `POST /export`: a bundle as a plain tar; `POST /export/plan`: what it would be, in JSON. */
export function exportEndpoints(exporting: Exporting): readonly Endpoint[] {
  const change = (
    action: string,
    run: (request: ExportRequest, response: Response) => Promise<Outcome>,
  ): Change => ({
    action,
    input: EXPORT,
    maxBodyBytes: MAX_BODY_BYTES,
    prepare(input) {
      const request = toRequest(input)
      const { images, patterns, pinned, referrers, base, allowIncomplete } = request
      const named = { images: images.length, patterns, pinned, referrers, allowIncomplete }
      return {
        parameters: { ...named, ...(base === undefined ? {} : { since: base.id }) },
        run: (response) => run(request, response),
      }
    },
  })
  return [
    {
      path: '/export',
      post: change('export', async (request, response) => ({
        body: undefined,
        result: await sendBytes(response, TAR_TYPE, (signal) => exporting.stream(request, signal)),
      })),
    },
    {
      path: '/export/plan',
      post: change('plan of an export', (request, response) => plan(exporting, request, response)),
    },
  ]
}

async function plan(
  exporting: Exporting,
  request: ExportRequest,
  response: Response,
): Promise<Outcome> {
  const leaving = new AbortController()
  response.once('close', () => leaving.abort())
  const preview = await exporting.preview(request, leaving.signal)
  const { bundle, contents, bytes, incomplete, document } = preview
  const numbers = { images: bundle.images.length, blobs: contents.length, bytes }
  const [leftOut, missing] = request.allowIncomplete ? [incomplete, []] : [[], incomplete]
  return {
    body: { ...numbers, leftOut, missing, bundle: document },
    result: { ...numbers, incomplete: incomplete.length },
  }
}

function toRequest(input: unknown): ExportRequest {
  const { platforms, exclude, patterns, ...rest } = parseInput(EXPORT, input)
  if (rest.images.length === 0 && patterns.length === 0 && !rest.pinned) {
    const message = 'expected images, patterns, or pinned: true'
    throw new AdminError('INVALID', { message })
  }
  // Refuses what can match nothing.
  for (const pattern of patterns) parsePattern(pattern)
  return {
    ...rest,
    patterns,
    platforms,
    base: exclude && {
      id: exclude.id,
      contentAt: Date.parse(exclude.contentAt),
      blobs: exclude.digests,
    },
  }
}
