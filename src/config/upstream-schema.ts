/** The keys of one upstream, and those of `defaults`. */
import * as z from 'zod'

import * as v from './values.ts'

const kubelet = z
  .strictObject({
    config: v.file.describe('The CredentialProviderConfig that the kubelet is given.'),
    binDir: v.directory.describe('The directory with the plugins that it names.'),
  })
  .nullish()

/** One object for the three kinds: a wrong key is then an unknown key, not a union that fits nothing. */
const credential = z.strictObject({
  path: v.repositoryPath
    .nullish()
    .describe('Only for repositories that begin with this, such as acme/team.'),
  username: v.text.nullish(),
  password: v.text.nullish().describe('The secret itself; passwordFile is the better choice.'),
  passwordFile: v.file.nullish().describe('A file with the password, read again when it changes.'),
  dockerConfigFile: v.file
    .nullish()
    .describe(
      'A .dockerconfigjson, .dockercfg or auth.json with its helpers, or a folder of them.',
    ),
  kubeletCredentialProvider: kubelet.describe("The kubelet's credential provider plugins."),
})

const refresh = z.enum(['background', 'blocking'])

const pullPolicy = z.enum(['Always', 'IfNotPresent', 'Never'])

const tagRule = z.strictObject({
  match: v.glob.describe('A glob over the tag.'),
  repository: v.glob.nullish().describe('A glob over the repository; default **: every one.'),
  pullPolicy: pullPolicy.nullish().describe("Overrides the upstream's pullPolicy."),
  maxAge: v.durationOrNever.nullish().describe("Overrides the upstream's maxAge."),
  refresh: refresh.nullish().describe("Overrides the upstream's refresh."),
})

const repositories = z.strictObject({
  allow: v.listOf(v.glob).optional().describe('Globs; default ["**"]: every repository.'),
  deny: z.array(v.glob).nullish().describe('Globs; stronger than allow.'),
})

const limits = z.strictObject({
  connections: z.int().min(1, 'must be at least 1').max(10_000, 'must be at most 10000').nullish(),
  bandwidth: v.bandwidth.nullish().describe('A size per second such as 10MiB; 0: no limit.'),
  connectTimeout: v.timeout.nullish().describe('Until a connection is made; default 10s.'),
  headersTimeout: v.timeout.nullish().describe('Until an answer begins; default 30s.'),
  idleTimeout: v.timeout.nullish().describe('Between two pieces of a body; default 60s.'),
})

/** What `defaults` may say for every upstream. */
const shared = {
  mirrors: z.array(v.registryUrl).nullish().describe('Endpoints tried before url, in order.'),
  access: z
    .enum(['public', 'shared', 'caller'])
    .nullish()
    .describe('Who may read what the credentials can read; must be said where there are any.'),
  credentials: z.array(credential).nullish().describe("Larder's own, all that match are tried."),
  tags: z.array(tagRule).nullish().describe('First match wins; latest and * are added at the end.'),
  pullPolicy: pullPolicy
    .nullish()
    .describe("Kubernetes' words, for its tags; default Always for latest, else IfNotPresent."),
  maxAge: v.durationOrNever
    .nullish()
    .describe('With IfNotPresent: how long a tag is answered without asking; default 1h.'),
  refresh: refresh
    .nullish()
    .describe(
      'With IfNotPresent, after maxAge: answer at once and ask behind (background), ' +
        'or ask first (blocking); default blocking.',
    ),
  staleIfError: v.duration
    .nullish()
    .describe('How long past its age a tag is served while the registry cannot be asked; 7d.'),
  staleGrant: v.duration
    .nullish()
    .describe("How long a caller's right is believed while the registry cannot be asked; 0s."),
  repositories: repositories.nullish(),
  writes: z.enum(['deny', 'passthrough']).nullish().describe('Pushes and deletes; default deny.'),
  allowPlainChallenge: v.flag
    .nullish()
    .describe('Let access: caller ask for passwords without TLS.'),
  platforms: z
    .union([z.literal('all'), v.listOf(v.platform)], {
      error: ({ input }) =>
        input === undefined ? undefined : 'expected all, or a list such as [linux/amd64]',
    })
    .nullish()
    .describe('What preload takes of a multi-platform image; default all.'),
  trustedRealms: z.array(v.origin).nullish().describe('Token endpoints besides the known ones.'),
  caFile: v.file.nullish().describe('Certificates (PEM) to trust for it.'),
  clientCertFile: v.file.nullish(),
  clientKeyFile: v.file.nullish(),
  proxy: v.proxyUrl.nullish().describe('Absent: HTTPS_PROXY, HTTP_PROXY and NO_PROXY decide.'),
  plainHttp: v.flag.nullish().describe('Allow http:// to a host that is not loopback.'),
  limits: limits.nullish(),
}

export const DEFAULTS = z.strictObject(shared)

export const UPSTREAM = z.strictObject({
  name: v.upstreamName.describe('The metric label, and the key of what is stored.'),
  match: v
    .listOf(v.match)
    .nullish()
    .describe('Values of ?ns= and first path segments that select it; default [name].'),
  url: v.registryUrl.describe('Where the registry is; a path prefix before /v2/ is allowed.'),
  default: v.flag.nullish().describe('Takes requests that name no registry; at most one.'),
  ...shared,
})

export type DefaultsInput = z.input<typeof DEFAULTS>
export type UpstreamInput = z.input<typeof UPSTREAM>
export type CredentialInput = z.input<typeof credential>
export type TagRuleInput = z.input<typeof tagRule>
