/**
 * The shape of the configuration as it is written. It says which keys there are and what each
 * takes; `rules.ts` has what holds between keys, `compile.ts` makes a `Config` of it.
 *
 * An empty key (`caFile:`) is as good as an absent one, except where absence opens a door: `auth`,
 * its rules, `upstreams`, and `allow`.
 */
import * as z from 'zod'

import { DEFAULTS, UPSTREAM } from './upstream-schema.ts'
import * as v from './values.ts'

const server = z.strictObject({
  listen: v.address.nullish().describe('The registry API; default 0.0.0.0:5000.'),
  adminListen: v.address
    .nullish()
    .describe('Metrics, probes, admin API and dashboard; default 127.0.0.1:9090.'),
  tls: z
    .strictObject({
      certFile: v.file.nullish().describe('Certificate chain (PEM).'),
      keyFile: v.file.nullish().describe('Private key (PEM).'),
      clientCaFile: v.file.nullish().describe('Who signs the certificates of clients (PEM).'),
    })
    .nullish()
    .describe('TLS of the registry API; files are read again when they change.'),
  drainTimeout: v.drain
    .nullish()
    .describe('How long pulls under way may take to end; default 60s.'),
  workers: v.workers
    .nullish()
    .describe('Processes that send to clients, or auto: one for each core; default 1.'),
})

const auth = z.strictObject({
  htpasswdFile: v.file.nullish().describe('Users and their bcrypt hashes.'),
  clientCertificates: v.flag.nullish().describe('Take the SAN of a certificate as the user.'),
  rules: v
    .listOf(
      z.strictObject({
        users: v.listOf(v.text).describe('Names of users.'),
        repositories: v.listOf(v.glob).describe('Globs over registry/repository.'),
      }),
    )
    .optional()
    .describe('Who may read what; absent: every user everything.'),
})

const storage = z.strictObject({
  path: v.directory.nullish().describe('The data directory; default ./data.'),
  maxSize: v.positiveSpace.nullish().describe('What the cache may take; default 100GiB.'),
  minFree: v.space.nullish().describe('What is left free on the file system; default 5%.'),
  unusedFor: v.periodOrNever
    .nullish()
    .describe('Removes what was not pulled for so long; default never.'),
  scrub: z
    .strictObject({
      every: v.periodOrNever
        .nullish()
        .describe('How long after its last check a blob is checked again; default 30d.'),
      rate: v.rate.nullish().describe('How much is read per second for it; default 32MiB.'),
    })
    .nullish()
    .describe('Hashes stored blobs again in the background, and replaces damaged ones.'),
})

const preloadJob = z.strictObject({
  name: v.jobName,
  sources: v
    .listOf(v.text.refine((source) => source !== '-', { error: 'a job has no standard input' }))
    .describe('Files, directories and references that name images.'),
  schedule: v.cron.nullish().describe('A cron expression, in UTC; absent: only when asked.'),
  platforms: v.listOf(v.platform).nullish().describe("Absent: the upstream's platforms."),
  pin: v.flag.nullish().describe('Keep what the sources name, and follow its tags; default false.'),
})

export const CONFIG = z.strictObject({
  version: z.literal(1).nullish().describe('The version of this format.'),
  server: server.nullish(),
  auth: auth.optional().describe('The front door; absent: anyone who reaches the port.'),
  admin: z
    .strictObject({
      tokenFile: v.file
        .nullish()
        .describe('A token that changes need, unless adminListen is loopback.'),
    })
    .nullish(),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).nullish(),
      format: z.enum(['json', 'text']).nullish(),
    })
    .nullish(),
  storage: storage.nullish(),
  memory: z
    .strictObject({
      chunkCache: v.positiveSize.nullish().describe('Hot blobs in memory; default 256MiB.'),
    })
    .nullish(),
  defaults: DEFAULTS.nullish().describe('For every upstream that does not say otherwise.'),
  upstreams: v
    .listOf(UPSTREAM)
    .optional()
    .describe('The registries; absent: the large public ones, without credentials.'),
  offline: v.flag.nullish().describe('Never ask any registry.'),
  preload: z.array(preloadJob).nullish(),
})

export type ConfigInput = z.input<typeof CONFIG>
export type PreloadInput = z.input<typeof preloadJob>

/** The JSON Schema of the file, for editors. Draft 7 is what their YAML plug-ins know best. */
export function configJsonSchema(): object {
  const { $schema, ...rest } = z.toJSONSchema(CONFIG, { io: 'input', target: 'draft-7' })
  return { $schema, title: 'Larder configuration', ...rest }
}
