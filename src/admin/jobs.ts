import type { Response } from 'express'
import { z } from 'zod'
import type { RunEvent } from '../airgap/run.ts'
import type { RunDetail, RunRequest } from '../airgap/run-report.ts'
import { formatPlatform } from '../oci/platform.ts'
import type { Endpoint, Followed, Prepared } from './endpoint.ts'
import { AdminError } from './errors.ts'
import { EventStream } from './event-stream.ts'
import { MAX_LIST_BYTES, parseInput, requireOne } from './input.ts'
import type { PreloadRuns } from './ports/preload-runs.ts'
import { PRELOAD, requireJob } from './preload-input.ts'

/** The id of the last event of a job: who has had it has had all. */
const LAST_EVENT = 'end'

const JOB = PRELOAD.extend({
  /** A list, Kubernetes YAML, a Compose file: whatever names images. */
  text: z.string().min(1).optional(),
})

const SOURCES = z.strictObject({ text: z.string().min(1) })
const CHANGE = z.strictObject({})

/** `/jobs`: preloads that go on by themselves; any number may watch one, and any operator end it. */
export function jobEndpoints(runs: PreloadRuns): readonly Endpoint[] {
  return [
    {
      path: '/jobs',
      read: async () => runs.list(),
      post: {
        action: 'begin preload',
        input: JOB,
        maxBodyBytes: MAX_LIST_BYTES,
        prepare: (input) => prepare(parseInput(JOB, input), runs),
      },
    },
    {
      path: '/sources',
      post: {
        action: 'read sources',
        input: SOURCES,
        maxBodyBytes: MAX_LIST_BYTES,
        prepare(input) {
          const { text } = parseInput(SOURCES, input)
          const run = async () => {
            const body = runs.readText(text)
            return { body, result: { images: body.images.length } }
          }
          return { parameters: { characters: text.length }, run }
        },
      },
    },
    { path: '/jobs/:id', read: async ({ name }) => found(runs.find(name), name) },
    { path: '/jobs/:id/events', follow: (asked, response) => follow(runs, asked, response) },
    change('cancel', runs),
    change('retry', runs),
  ]
}

function prepare(input: z.output<typeof JOB>, runs: PreloadRuns): Prepared {
  const { text, images: named, name: owner, job, platforms, ...settings } = input
  requireOne({ images: named, text, job }, ['images', 'text', 'job'])
  requireJob(input, runs.configured())
  const { images, problems } =
    text === undefined ? { images: named, problems: [] } : runs.readText(text)
  if (images?.length === 0) {
    const message = ['the text names no image', ...problems].join('; ')
    throw new AdminError('INVALID', { message })
  }
  const wanted = platforms?.map(formatPlatform)
  const request: RunRequest = { images, job, platforms: wanted, owner, ...settings }
  return {
    // Which they are would make the line of the log a long one.
    parameters: { images: images?.length, job, platforms: wanted, ...settings },
    async run() {
      const body = runs.begin(request, problems)
      return { body, result: { id: body.id, images: body.images.total } }
    },
  }
}

function change(action: 'cancel' | 'retry', runs: PreloadRuns): Endpoint {
  return {
    path: `/jobs/:id/${action}`,
    post: {
      action: `${action} preload`,
      input: CHANGE,
      prepare(input, name) {
        parseInput(CHANGE, input)
        const run = async () => {
          const body = found(runs[action](name), name)
          return { body, result: { id: body.id, state: body.state } }
        }
        return { parameters: { id: name }, run }
      },
    },
  }
}

/** How it stands first, then what changes. */
async function follow(
  runs: PreloadRuns,
  { name, lastEventId, isHead }: Followed,
  response: Response,
): Promise<void> {
  const detail = found(runs.find(name), name)
  if (lastEventId === LAST_EVENT) {
    // The one answer after which an EventSource does not come again (HTML standard, 9.2.3).
    response.status(204).end()
    return
  }
  const stream = new EventStream(response)
  if (isHead) return stream.end()
  stream.send('job', detail)
  const stop = runs.follow(name, (event) => tell(stream, event, () => runs.find(name)))
  if (stop === undefined) return finish(stream, detail)
  response.once('close', stop)
}

function tell(stream: EventStream, event: RunEvent, read: () => RunDetail | undefined): void {
  switch (event.kind) {
    case 'state': {
      const detail = read()
      if (detail !== undefined) stream.send('job', detail)
      return
    }
    case 'row':
      stream.send('image', event.row)
      return
    case 'progress':
      stream.offer('progress', event.progress)
      return
    case 'end': {
      const detail = read()
      if (detail !== undefined) finish(stream, detail)
      return
    }
    default:
      event satisfies never
  }
}

function finish(stream: EventStream, { rows: _, active: __, ...report }: RunDetail): void {
  stream.send('end', report, LAST_EVENT)
  stream.end()
}

function found<T>(job: T | undefined, id: string): T {
  if (job !== undefined) return job
  throw new AdminError('NOT_FOUND', {
    message: `there is no preload job ${id}; larder jobs, or GET /api/v1/jobs, lists them`,
  })
}
