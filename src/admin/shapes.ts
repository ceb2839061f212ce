/** Answers of the admin API as whoever asks gets them, in TypeScript. */
import type { z } from 'zod'

import type { ACTIVITY, CLIENTS } from './answers/activity.ts'
import type { AUTHORITY } from './answers/authority.ts'
import type { CONFIGURATION } from './answers/configuration.ts'
import type { IMAGE_DETAIL, IMAGES } from './answers/images.ts'
import type { JOB, JOB_DETAIL, JOBS } from './answers/jobs.ts'
import type { NODE_CONFIG } from './answers/node-config.ts'
import type { HISTORY, OVERVIEW } from './answers/overview.ts'
import type { COLLECTED, PURGED } from './answers/removal.ts'
import type { STORAGE, USAGE } from './answers/storage.ts'
import type { UPSTREAM, WALK } from './answers/upstreams.ts'
import type { VERIFY_LINES } from './answers/verification.ts'

export type OverviewAnswer = z.output<typeof OVERVIEW>
export type HistoryAnswer = z.output<typeof HISTORY>
export type ActivityAnswer = z.output<typeof ACTIVITY>
export type ClientsAnswer = z.output<typeof CLIENTS>
export type AuthorityAnswer = z.output<typeof AUTHORITY>
export type UpstreamAnswer = z.output<typeof UPSTREAM>
export type UpstreamTestAnswer = z.output<typeof WALK>
export type ImageAnswer = z.output<typeof IMAGES>['images'][number]
export type ImageDetailAnswer = z.output<typeof IMAGE_DETAIL>
export type NodeSetupAnswer = z.output<typeof NODE_CONFIG>
export type UsageAnswer = z.output<typeof USAGE>
export type StorageAnswer = z.output<typeof STORAGE>
export type PurgedAnswer = z.output<typeof PURGED>
export type CollectedAnswer = z.output<typeof COLLECTED>
export type ConfigurationAnswer = z.output<typeof CONFIGURATION>
export type JobAnswer = z.output<typeof JOB>
export type JobDetailAnswer = z.output<typeof JOB_DETAIL>
export type RowAnswer = JobDetailAnswer['rows'][number]
export type JobsAnswer = z.output<typeof JOBS>
export type VerifyLine = z.output<typeof VERIFY_LINES>
