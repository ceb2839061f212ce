/** Answers of the admin API as whoever asks gets them, in TypeScript. */
import type { z } from 'zod'

import type * as answers from './answers.ts'

export type OverviewAnswer = z.output<typeof answers.OVERVIEW>
export type HistoryAnswer = z.output<typeof answers.HISTORY>
export type ActivityAnswer = z.output<typeof answers.ACTIVITY>
export type ClientsAnswer = z.output<typeof answers.CLIENTS>
export type AuthorityAnswer = z.output<typeof answers.AUTHORITY>
export type UpstreamAnswer = z.output<typeof answers.UPSTREAM>
export type UpstreamTestAnswer = z.output<typeof answers.WALK>
export type ImageAnswer = z.output<typeof answers.IMAGES>['images'][number]
export type ImageDetailAnswer = z.output<typeof answers.IMAGE_DETAIL>
export type NodeSetupAnswer = z.output<typeof answers.NODE_CONFIG>
export type UsageAnswer = z.output<typeof answers.USAGE>
export type StorageAnswer = z.output<typeof answers.STORAGE>
export type PurgedAnswer = z.output<typeof answers.PURGED>
export type CollectedAnswer = z.output<typeof answers.COLLECTED>
export type ConfigurationAnswer = z.output<typeof answers.CONFIGURATION>
export type JobAnswer = z.output<typeof answers.JOB>
export type JobDetailAnswer = z.output<typeof answers.JOB_DETAIL>
export type RowAnswer = JobDetailAnswer['rows'][number]
export type JobsAnswer = z.output<typeof answers.JOBS>
export type VerifyLine = z.output<typeof answers.VERIFY_LINES>
