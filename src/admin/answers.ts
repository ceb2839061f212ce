/** What the admin API answers: for its document, and for the tests that hold it to that. */
import { z } from 'zod'

const bytes = z.int().nonnegative().meta({ description: 'bytes' })
const count = z.int().nonnegative()
const time = z.number().meta({ description: 'epoch milliseconds' })
const digest = z.string().meta({ description: 'such as sha256:…' })
/** Of what is not known it says -1. */
const size = z.int().min(-1).meta({ description: 'bytes; -1: not known' })
const ratio = z.number().min(0).max(1)
const annotations = z.record(z.string(), z.string())

const PROBLEM = z.strictObject({
  file: z.string().optional(),
  line: z.int().optional(),
  column: z.int().optional(),
  variable: z.string().optional(),
  path: z.string(),
  message: z.string(),
})

const ERROR = z.strictObject({
  code: z.string(),
  message: z.string(),
  problems: z.array(PROBLEM).optional(),
})

export const FAILURE = z.strictObject({ error: ERROR })

export const RELOADED = z.strictObject({ ok: z.literal(true), warnings: z.array(PROBLEM) })

const STORED = z.strictObject({
  usedBytes: bytes,
  quotaBytes: z.number(),
  availableBytes: bytes,
  blobs: count,
  manifests: count,
  tags: count,
})

const FIGURES = z.strictObject({
  requests: z.strictObject({
    total: count,
    byResult: z.record(z.string(), count),
    hitRatio: ratio.optional(),
  }),
  bytes: z.strictObject({
    served: bytes,
    fetched: bytes,
    preloaded: bytes,
    saved: bytes,
    hitRatio: ratio.optional(),
  }),
})
const TRAFFIC = FIGURES.extend({ since: time })

export const OVERVIEW = FIGURES.extend({
  version: z.string(),
  startedAt: time,
  now: time,
  uptimeSeconds: count,
  last5Minutes: TRAFFIC,
  last24Hours: TRAFFIC,
  warnings: z.array(z.string()),
  storage: STORED,
  pins: z.strictObject({
    complete: count,
    incomplete: count,
    pinnedBytes: bytes,
    missingBytes: bytes,
  }),
})

const counts = z.array(count.nullable())
const ratios = z.array(ratio.nullable())

export const HISTORY = z.strictObject({
  stepSeconds: count,
  times: z.array(time).meta({ description: 'the end of each step' }),
  results: z.record(z.string(), counts),
  hitRatio: ratios,
  byteHitRatio: ratios,
  servedBytes: counts,
  fetchedBytes: counts,
  usedBytes: counts,
})

export const ACTIVITY = z.strictObject({
  requests: z.array(
    z.strictObject({
      seq: count,
      at: time,
      request: z.string(),
      client: z.string().optional(),
      agent: z.string().optional(),
      method: z.string(),
      handler: z.string(),
      upstream: z.string().optional(),
      repository: z.string().optional(),
      reference: z.string().optional(),
      digest: digest.optional(),
      status: count,
      result: z.string().optional(),
      age: z.number().optional(),
      stale: z.number().optional(),
      bytes,
      ms: z.number(),
      finished: z.boolean(),
      problem: z.string().optional(),
    }),
  ),
  last: count,
})

export const CLIENTS = z.strictObject({
  since: time,
  clients: z.array(
    z.strictObject({
      address: z.string(),
      runtime: z.string(),
      agent: z.string().optional(),
      requests: count,
      pulls: count,
      errors: count,
      bytes,
      firstSeenAt: time,
      lastSeenAt: time,
    }),
  ),
  more: count,
})

const IMAGE = z.strictObject({
  name: z.string(),
  upstream: z.string(),
  repository: z.string(),
  digest,
  tags: z.array(z.string()),
  platforms: z.array(z.strictObject({ platform: z.string(), complete: z.boolean() })),
  bytes,
  sharedBytes: bytes,
  missingBytes: bytes,
  complete: z.boolean(),
  lastUsedAt: time.optional(),
  pulls: count,
  lastPulledAt: time.optional(),
  pinned: z.boolean(),
})

export const IMAGES = z.strictObject({ images: z.array(IMAGE), next: z.string().optional() })

const CONTENT = z.strictObject({ digest, mediaType: z.string(), size, here: z.boolean() })

export const IMAGE_DETAIL = IMAGE.extend({
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  annotations,
  tag: z
    .strictObject({
      tag: z.string(),
      checkedAt: time,
      refusedAt: time.optional(),
      history: z.array(z.strictObject({ digest, seenAt: time })),
    })
    .optional(),
  manifests: z.array(CONTENT.extend({ platform: z.string().optional(), layers: z.array(CONTENT) })),
  referrers: z.array(
    z.strictObject({
      digest,
      mediaType: z.string(),
      size,
      subject: digest.optional(),
      artifactType: z.string().optional(),
      annotations,
    }),
  ),
  raw: z.string().optional(),
})

export const CONFIGURATION = z.strictObject({
  config: z.looseObject({ version: z.literal(1) }),
  origins: z.record(z.string(), z.enum(['default', 'file', 'env'])),
})

export const AUTHORITY = z.union([
  z.strictObject({ right: z.enum(['token', 'loopback', 'owner']) }),
  z.strictObject({ needs: z.enum(['token', 'elsewhere']), reason: z.string() }),
])

export const NODE_CONFIG = z.strictObject({
  runtimes: z.array(z.string()),
  runtime: z.string(),
  server: z.string(),
  files: z.array(z.strictObject({ path: z.string(), content: z.string(), mode: z.int() })),
  notes: z.array(z.string()),
})

const PIN = z.strictObject({
  name: z.string(),
  kind: z.enum(['tag', 'digest', 'pattern']),
  owner: z.string(),
  digest: digest.optional(),
  follows: z.boolean(),
  createdAt: time,
  expiresAt: time.optional(),
})

export const PINS = z.strictObject({ pins: z.array(PIN) })
export const PINNED = PINS.extend({ unknown: z.array(z.string()) })
export const UNPINNED = z.strictObject({ unpinned: count, unknown: z.array(z.string()) })

const REMOVED = z.strictObject({
  tags: count,
  manifests: count,
  blobs: count,
  bytes,
  kept: z.strictObject({ pinned: count, inUse: count, listed: count }),
  items: z.array(z.strictObject({ name: z.string(), size: size.optional() })),
})

export const PURGED = REMOVED.extend({ unknown: z.array(z.string()) })
export const COLLECTED = REMOVED.extend({ files: z.strictObject({ count, bytes }) })

export const STORAGE = STORED.extend({
  pinnedBytes: bytes,
  parts: z.strictObject({ count, bytes }),
  next: z.array(z.strictObject({ name: z.string(), bytes, lastUsedAt: time })),
})

const SHARE = z.strictObject({ bytes, blobs: count, sharedBytes: bytes })

export const USAGE = z.strictObject({
  countedAt: time,
  upstreams: z.array(SHARE.extend({ upstream: z.string() })),
  repositories: z.array(SHARE.extend({ upstream: z.string(), repository: z.string() })),
  unclaimed: SHARE.omit({ sharedBytes: true }),
})

export const UPSTREAM = z.strictObject({
  name: z.string(),
  match: z.array(z.string()),
  url: z.string(),
  mirrors: z.array(z.string()),
  access: z.enum(['public', 'shared', 'caller']),
  offline: z.boolean(),
  blocked: z.strictObject({ at: time, reason: z.string().optional() }).optional(),
  up: z.boolean(),
  circuit: z.enum(['closed', 'open', 'half_open']),
  rateLimit: z
    .strictObject({
      limit: z.number().optional(),
      remaining: z.number().optional(),
      windowSeconds: z.number().optional(),
    })
    .optional(),
  restsMs: z.number(),
  waiting: count,
  requests: z.strictObject({ total: count, failed: count }),
  latencyMs: z.strictObject({ p50: z.number(), p95: z.number() }).optional(),
  lastSuccessAt: time.optional(),
  recentErrors: z.array(z.strictObject({ reason: z.string(), count, at: time, lastAt: time })),
  credentials: count,
  credentialExpiresAt: time.optional(),
  traffic: FIGURES,
})

export const UPSTREAMS = z.strictObject({ upstreams: z.array(UPSTREAM) })

export const WALK = z.strictObject({
  upstream: z.string(),
  ok: z.boolean(),
  clockSkewMs: z.number().optional(),
  steps: z.array(
    z.strictObject({
      step: z.string(),
      ok: z.boolean(),
      detail: z.string(),
      advice: z.string().optional(),
    }),
  ),
})

const FAILED = FAILURE.extend({ event: z.literal('failed') })
const seconds = z.number().nonnegative()

const VERIFIED = z.strictObject({
  event: z.literal('done'),
  checked: count,
  ok: count,
  damaged: count,
  missing: count,
  repaired: count,
  unrepaired: z.array(
    z.strictObject({
      digest,
      fault: z.enum(['damaged', 'missing']),
      places: z.array(z.string()),
    }),
  ),
})

export const VERIFY_LINES = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('started'), repair: z.boolean() }),
  z.strictObject({ event: z.literal('progress'), checked: count, total: count, bytes }),
  z.strictObject({ event: z.literal('fault'), digest, fault: z.enum(['damaged', 'missing']) }),
  VERIFIED,
  FAILED,
])

const IMAGE_FAILURE = { code: z.string(), message: z.string() }

export const PRELOAD_LINES = z.discriminatedUnion('event', [
  z.strictObject({
    event: z.literal('started'),
    images: count.optional(),
    job: z.string().optional(),
    dryRun: z.boolean(),
  }),
  z.strictObject({
    event: z.literal('progress'),
    images: count,
    imagesDone: count,
    bytes,
    totalBytes: bytes,
    fetchedBytes: bytes,
    bytesPerSecond: z.number().nonnegative(),
    active: z.array(z.strictObject({ image: z.string(), digest, bytes, totalBytes: bytes })),
  }),
  z.strictObject({
    event: z.literal('image'),
    image: z.string(),
    state: z.enum(['fetching', 'done', 'unchanged', 'failed']),
    digest: digest.optional(),
    bytes: bytes.optional(),
    fetchedBytes: bytes.optional(),
    warning: z.string().optional(),
    error: z.strictObject(IMAGE_FAILURE).optional(),
  }),
  z.strictObject({
    event: z.literal('done'),
    images: z.strictObject({ done: count, unchanged: count, failed: count }),
    bytes: z.strictObject({ fetched: bytes, here: bytes }),
    failed: z.array(z.strictObject({ image: z.string(), ...IMAGE_FAILURE })),
    seconds,
  }),
  FAILED,
])

const FAILED_IMAGE = z.strictObject({ image: z.string(), ...IMAGE_FAILURE })
const ACTIVE = z.array(z.strictObject({ image: z.string(), digest, bytes, totalBytes: bytes }))
const STATES = [
  'queued',
  'running',
  'done',
  'incomplete',
  'failed',
  'cancelled',
  'interrupted',
] as const

export const JOB = z.strictObject({
  id: z.string(),
  state: z.enum(STATES),
  origin: z.enum(['api', 'command', 'schedule']),
  job: z.string().optional().meta({ description: 'of the configuration' }),
  retryOf: z.string().optional(),
  platforms: z.array(z.string()).optional(),
  referrers: z.boolean(),
  pin: z.boolean(),
  dryRun: z.boolean(),
  createdAt: time,
  startedAt: time.optional(),
  endedAt: time.optional(),
  images: z.strictObject({ total: count, done: count, unchanged: count, failed: count }),
  bytes: z.strictObject({ total: bytes, here: bytes, fetched: bytes }),
  bytesPerSecond: z.number().nonnegative().optional(),
  error: z.strictObject(IMAGE_FAILURE).optional(),
  warnings: z.array(z.string()),
  failed: z.array(FAILED_IMAGE),
})

const ROW = z.strictObject({
  image: z.string(),
  state: z.enum(['waiting', 'fetching', 'done', 'unchanged', 'failed']),
  digest: digest.optional(),
  bytes: bytes.optional(),
  fetchedBytes: bytes.optional(),
  warning: z.string().optional(),
  error: z.strictObject(IMAGE_FAILURE).optional(),
})

export const JOB_DETAIL = JOB.extend({ rows: z.array(ROW), active: ACTIVE })

export const JOBS = z.strictObject({
  jobs: z.array(JOB),
  configured: z.array(
    z.strictObject({
      name: z.string(),
      sources: z.array(z.string()),
      schedule: z.string().optional(),
      nextRunAt: time.optional(),
      platforms: z.array(z.string()),
      pin: z.boolean(),
      running: z.string().optional().meta({ description: 'the id of a job' }),
      last: JOB.optional(),
    }),
  ),
})

export const JOB_EVENTS = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('job'), data: JOB_DETAIL }),
  z.strictObject({ event: z.literal('image'), data: ROW }),
  z.strictObject({
    event: z.literal('progress'),
    data: z.strictObject({
      images: count,
      imagesDone: count,
      bytes,
      totalBytes: bytes,
      fetchedBytes: bytes,
      bytesPerSecond: z.number().nonnegative(),
      active: ACTIVE,
    }),
  }),
  z.strictObject({ event: z.literal('end'), data: JOB }),
])

export const PASTED = z.strictObject({
  images: z.array(z.string()),
  maybe: z.array(z.string()),
  problems: z.array(z.string()),
})

const MISSING = z.strictObject({
  digest,
  kind: z.enum(['manifest', 'blob']),
  size,
  mediaType: z.string().optional(),
  platform: z.looseObject({ os: z.string(), architecture: z.string() }).optional(),
  parent: digest.optional(),
  lack: z.enum(['missing', 'damaged', 'unconfirmed']),
})

export const CHECK_LINES = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('started'), images: count }),
  z.strictObject({
    event: z.literal('image'),
    image: z.string(),
    complete: z.boolean(),
    digest: digest.optional(),
    missing: z.array(MISSING),
    missingBytes: bytes,
    bytes,
    reason: z.string().optional(),
  }),
  z.strictObject({
    event: z.literal('done'),
    images: count,
    complete: count,
    incomplete: count,
    missingBytes: bytes,
    bytes,
  }),
  FAILED,
])

export const IMPORT_LINES = z.discriminatedUnion('event', [
  z.strictObject({ event: z.literal('started'), dryRun: z.boolean() }),
  z.strictObject({ event: z.literal('progress'), bytes, blobs: count }),
  z.strictObject({
    event: z.literal('image'),
    image: z.string(),
    digest: digest.optional(),
    state: z.enum(['published', 'unchanged', 'refused']),
    reason: z.string().optional(),
  }),
  z.strictObject({ event: z.literal('warning'), message: z.string() }),
  z.strictObject({
    event: z.literal('done'),
    images: z.strictObject({ published: count, unchanged: count, refused: count }),
    bytes,
    addedBytes: bytes,
    addedBlobs: count,
    seconds,
  }),
  FAILED,
])

const INCOMPLETE = z.strictObject({
  image: z.string(),
  reason: z.string().optional(),
  missing: z.array(MISSING),
  missingBytes: bytes,
})

export const EXPORT_PLAN = z.strictObject({
  images: count,
  blobs: count,
  bytes,
  leftOut: z.array(INCOMPLETE),
  missing: z.array(INCOMPLETE),
  bundle: z.looseObject({}).meta({ description: 'what larder-bundle.json would say' }),
})

export const OPENAPI = z.looseObject({ openapi: z.literal('3.1.0') })
