import type { z } from 'zod'

import { ACTIVITY, CLIENTS } from './answers/activity.ts'
import { AUTHORITY } from './answers/authority.ts'
import { EXPORT_PLAN, IMPORT_LINES } from './answers/bundles.ts'
import { CHECK_LINES } from './answers/checking.ts'
import { CONFIGURATION, RELOADED } from './answers/configuration.ts'
import { IMAGE_DETAIL, IMAGES } from './answers/images.ts'
import { JOB, JOB_DETAIL, JOB_EVENTS, JOBS, PASTED } from './answers/jobs.ts'
import { NODE_CONFIG } from './answers/node-config.ts'
import { OPENAPI } from './answers/openapi.ts'
import { HISTORY, OVERVIEW } from './answers/overview.ts'
import { PINNED, PINS, UNPINNED } from './answers/pins.ts'
import { PRELOAD_LINES } from './answers/preloading.ts'
import { COLLECTED, PURGED } from './answers/removal.ts'
import { STORAGE, USAGE } from './answers/storage.ts'
import { UPSTREAM, UPSTREAMS, WALK } from './answers/upstreams.ts'
import { VERIFY_LINES } from './answers/verification.ts'
import { TAR_TYPE } from './media-types.ts'

/** What an operation answers when it does what it was asked. */
export type Answer = { readonly description?: string } & (
  | { readonly kind: 'json'; readonly schema: z.ZodType }
  /** One such object a line. */
  | { readonly kind: 'lines'; readonly schema: z.ZodType }
  /** Server-sent events: of each its name and its data. */
  | { readonly kind: 'events'; readonly schema: z.ZodType }
  | { readonly kind: 'bytes'; readonly mediaType: string }
)

export interface Operation {
  readonly summary: string
  readonly answer: Answer
}

/** What is said of each operation besides what it takes, by method and path. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  'GET /overview': {
    summary: 'Whether it works, what it saves now, in a day, and since its start; how full it is',
    answer: json(OVERVIEW),
  },
  'GET /overview/history': {
    summary: 'How that was in the steps of a day; null: Larder did not run, or there is no ratio',
    answer: json(HISTORY),
  },
  'GET /activity': {
    summary: 'The last requests, the newest first',
    answer: json(ACTIVITY),
  },
  'GET /clients': {
    summary: 'Who has asked since the start, whoever was seen last first',
    answer: json(CLIENTS),
  },
  'GET /images': {
    summary: 'What is in the cache, a page at a time',
    answer: json(IMAGES),
  },
  'GET /images/{name}': {
    summary: 'All that is known of one image: its tag, layers, referrers and manifest',
    answer: json(IMAGE_DETAIL),
  },
  'GET /config': {
    summary: 'The configuration in effect without secrets, and where each value comes from',
    answer: json(CONFIGURATION),
  },
  'GET /authority': {
    summary: 'Whether whoever asks may change anything, and what is needed otherwise',
    answer: json(AUTHORITY),
  },
  'GET /node-config': {
    summary: 'The files with which nodes pull through this Larder',
    answer: json(NODE_CONFIG),
  },
  'GET /storage': {
    summary: 'What is used, of how much, and what would be evicted next',
    answer: json(STORAGE),
  },
  'GET /storage/usage': {
    summary: 'Who uses the disk: upstreams, and the largest repositories',
    answer: json(USAGE),
  },
  'GET /upstreams': { summary: 'How each registry is', answer: json(UPSTREAMS) },
  'POST /upstreams/{name}/test': {
    summary: 'Walks the way to a registry and says at which step it ends',
    answer: json(WALK),
  },
  'POST /upstreams/{name}/block': {
    summary: 'Has a registry not asked any more, also after a restart; what is here is served',
    answer: json(UPSTREAM),
  },
  'POST /upstreams/{name}/unblock': {
    summary: 'Has a registry asked again',
    answer: json(UPSTREAM),
  },
  'GET /openapi.json': { summary: 'This document', answer: json(OPENAPI) },
  'GET /pins': { summary: 'What is kept whatever has to go', answer: json(PINS) },
  'POST /pins': {
    summary: 'Keeps images; exactly one of references and pattern says which',
    answer: json(PINNED),
  },
  'DELETE /pins': {
    summary: 'Keeps images no longer; exactly one of reference and pattern says which',
    answer: json(UNPINNED),
  },
  'POST /purge': {
    summary: 'Removes what exactly one of references, pattern, upstream, unusedFor, downTo says',
    answer: json(PURGED),
  },
  'POST /gc': { summary: 'Removes what nothing names any more', answer: json(COLLECTED) },
  'POST /reload': {
    summary: 'Reads the configuration again: all of it is in use, or that of before',
    answer: json(RELOADED),
  },
  'POST /verify': {
    summary: 'Hashes everything that is stored, for as long as whoever asked listens',
    answer: lines(VERIFY_LINES),
  },
  'POST /preload': {
    summary: 'Fetches images, or those of a job, for as long as whoever asked listens',
    answer: lines(PRELOAD_LINES),
  },
  'GET /jobs': {
    summary: 'Preloads under way and ended, and those of the configuration with when they are due',
    answer: json(JOBS),
  },
  'POST /jobs': {
    summary:
      'Begins a preload that goes on by itself; exactly one of images, text, job says of what',
    answer: json(JOB_DETAIL),
  },
  'GET /jobs/{id}': { summary: 'A preload with its images', answer: json(JOB_DETAIL) },
  'GET /jobs/{id}/events': {
    summary: 'How a preload goes on: how it stands first, then what changes; 204 after its end',
    answer: { kind: 'events', schema: JOB_EVENTS, description: 'server-sent events' },
  },
  'POST /jobs/{id}/cancel': {
    summary: 'Ends a preload; what it has fetched stays',
    answer: json(JOB),
  },
  'POST /jobs/{id}/retry': {
    summary: 'Begins a preload of what has failed in another',
    answer: json(JOB_DETAIL),
  },
  'POST /sources': {
    summary: 'Says which images a text names; nothing is fetched',
    answer: json(PASTED),
  },
  'POST /check': {
    summary: 'Says of images whether they could be pulled without a network',
    answer: lines(CHECK_LINES),
  },
  'POST /import': {
    summary: 'Takes images from a plain tar, for as long as whoever sends it listens',
    answer: lines(IMPORT_LINES),
  },
  'POST /export': {
    summary: 'Images as an OCI image layout',
    answer: { kind: 'bytes', mediaType: TAR_TYPE, description: 'a plain tar' },
  },
  'POST /export/plan': {
    summary: 'What an export would be',
    answer: json(EXPORT_PLAN),
  },
}

function json(schema: z.ZodType): Answer {
  return { kind: 'json', schema }
}

function lines(schema: z.ZodType): Answer {
  return { kind: 'lines', schema, description: 'one such object a line, the last done or failed' }
}
