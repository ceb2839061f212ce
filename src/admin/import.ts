import type { Response } from 'express'
import { z } from 'zod'
import type { ImportEvent, ImportRequest } from '../airgap/bundle/import.ts'
import { RegistryError } from '../oci/errors.ts'
import { parseImageReference } from '../oci/reference.ts'
import type { Endpoint, Outcome } from './endpoint.ts'
import { answerInEvents } from './event-lines.ts'
import { flag, parseInput } from './input.ts'
import type { LineStream } from './line-stream.ts'
import { TAR_TYPE } from './media-types.ts'
import type { Importing } from './ports/bundles.ts'

/** `ghcr.io/acme/app`, with or without a tag. */
const place = z.string().transform((text, context) => {
  const name = parsePlace(text)
  if (name !== undefined) return name
  const message = 'expected a registry and a repository such as ghcr.io/acme/app'
  context.addIssue({ code: 'custom', message })
  return z.NEVER
})

const IMPORT = z.strictObject({ as: place.optional(), pin: flag(false), dryRun: flag(false) })

export interface ImportEndpointOptions {
  readonly importing: Importing
  /** Milliseconds that a jump of the wall clock does not move. */
  readonly monotonic: () => number
}

/** `POST /import?as=&pin=&dryRun=`: takes a plain tar, for as long as whoever sends it listens. */
export function importEndpoint({ importing, monotonic }: ImportEndpointOptions): Endpoint {
  return {
    path: '/import',
    post: {
      action: 'import',
      input: IMPORT,
      body: 'stream',
      mediaType: TAR_TYPE,
      prepare(query) {
        const { as: fallback, pin, dryRun } = parseInput(IMPORT, query)
        const request = { fallback, pin, dryRun }
        return {
          parameters: request,
          run: (body, response) => run(body, request, response, { importing, monotonic }),
        }
      },
    },
  }
}

function run(
  body: AsyncIterable<Buffer>,
  request: ImportRequest,
  response: Response,
  { importing, monotonic }: ImportEndpointOptions,
): Promise<Outcome> {
  const { dryRun } = request
  return answerInEvents(response, {
    monotonic,
    started: { dryRun },
    async work(lines, signal) {
      const startedAt = monotonic()
      const onEvent = (event: ImportEvent) => tell(lines, event)
      const result = await importing.run(body, request, onEvent, signal)
      const seconds = Math.round((monotonic() - startedAt) / 100) / 10
      return { done: { ...result, seconds }, result: { ...result, seconds } }
    },
  })
}

function tell(lines: LineStream, { kind, ...event }: ImportEvent): void {
  if (kind === 'progress') lines.progress({ event: kind, ...event })
  else lines.write({ event: kind, ...event })
}

function parsePlace(text: string): ImportRequest['fallback'] {
  try {
    const { registry, repository, tag, digest } = parseImageReference(text)
    const hasTag = text.slice(text.lastIndexOf('/') + 1).includes(':')
    return digest === undefined
      ? { registry, repository, tag: hasTag ? tag : undefined }
      : undefined
  } catch (error) {
    if (error instanceof RegistryError) return undefined
    throw error
  }
}
