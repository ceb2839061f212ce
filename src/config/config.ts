/**
 * The configuration as the program uses it: every default filled in, durations in milliseconds,
 * sizes in bytes, paths absolute. `schema.ts` makes it from text; nothing else does.
 */
export interface Config {
  readonly server: ServerConfig
  /** Absent: anyone who reaches the port is let in. */
  readonly auth: FrontDoorConfig | undefined
  readonly admin: { readonly tokenFile: string | undefined }
  readonly log: { readonly level: LogLevel; readonly format: 'json' | 'text' }
  readonly storage: StorageConfig
  readonly memory: { readonly chunkCacheBytes: number }
  readonly upstreams: readonly UpstreamConfig[]
  readonly offline: boolean
  readonly preload: readonly PreloadJob[]
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface Address {
  readonly host: string
  /** 0 lets the kernel choose. */
  readonly port: number
}

export interface ServerConfig {
  readonly listen: Address
  readonly adminListen: Address
  readonly tls: TlsFiles | undefined
  readonly drainTimeoutMs: number
  /** Processes that speak with clients; 1: the one that does everything else, too. */
  readonly workers: number
}

export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
  readonly clientCaFile: string | undefined
}

export interface FrontDoorConfig {
  readonly htpasswdFile: string | undefined
  readonly clientCertificates: boolean
  readonly rules: readonly FrontDoorRule[]
}

export interface FrontDoorRule {
  readonly users: readonly string[]
  /** Globs over `<registry>/<repository>`. */
  readonly repositories: readonly string[]
}

/** An amount of the file system's space. */
export type Space = { readonly bytes: number } | { readonly percent: number }

export interface StorageConfig {
  readonly path: string
  readonly maxSize: Space
  readonly minFree: Space
  /** `undefined`: content is not removed for being unused. */
  readonly unusedForMs: number | undefined
  readonly scrub: ScrubConfig
}

/** How stored blobs are hashed again in the background. */
export interface ScrubConfig {
  /** How long after its last check a blob is checked again; `undefined`: never. */
  readonly everyMs: number | undefined
  /** How fast blobs are read for it. */
  readonly bytesPerSecond: number
}

/** Who may read what an upstream's credentials can read. */
export type Access = 'public' | 'shared' | 'caller'

export interface UpstreamConfig {
  /** The metric label and the key of everything stored: renaming it starts an empty cache. */
  readonly name: string
  /** `?ns=` values and first path segments that select it, lower case, `host[:port]`. */
  readonly match: readonly string[]
  /** Origin, perhaps with a path prefix before `/v2/`; no trailing slash. */
  readonly url: string
  /** Tried first, in order; same form as `url`. */
  readonly mirrors: readonly string[]
  readonly default: boolean
  readonly access: Access
  readonly credentials: readonly CredentialConfig[]
  /** First match wins; the built-in rules are at its end. */
  readonly tags: readonly TagRule[]
  readonly staleIfErrorMs: number
  /** How long a grant that once passed is good while the registry cannot be asked; 0: not at all. */
  readonly staleGrantMs: number
  readonly repositories: { readonly allow: readonly string[]; readonly deny: readonly string[] }
  readonly writes: 'deny' | 'passthrough'
  readonly allowPlainChallenge: boolean
  readonly platforms: 'all' | readonly string[]
  /** Origins (`https://host[:port]`) of token endpoints besides the known ones. */
  readonly trustedRealms: readonly string[]
  readonly caFile: string | undefined
  readonly clientCertFile: string | undefined
  readonly clientKeyFile: string | undefined
  /** A forward proxy's URL; `undefined`: HTTPS_PROXY, HTTP_PROXY and NO_PROXY decide. */
  readonly proxy: string | undefined
  readonly plainHttp: boolean
  readonly limits: UpstreamLimits
}

export interface UpstreamLimits {
  readonly connections: number
  /** Bytes a second; 0: unlimited. */
  readonly bandwidth: number
  readonly connectTimeoutMs: number
  readonly headersTimeoutMs: number
  readonly idleTimeoutMs: number
}

/** Kubernetes' words. */
export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never'

/** What a tag's pull does when its last check is too old: answer at once, or ask first. */
export type Refresh = 'background' | 'blocking'

export interface TagRule {
  /** A glob over the tag. */
  readonly match: string
  /** A glob over the repository; `**`: every one. */
  readonly repository: string
  readonly pullPolicy: PullPolicy
  /** For IfNotPresent: how old a tag's last check may be. `Infinity`: never checked again. */
  readonly maxAgeMs: number
  /** For IfNotPresent, once older than `maxAgeMs`; with any other policy `blocking`. */
  readonly refresh: Refresh
}

/** Where Larder's own credentials come from. `path` limits each to `host/path` prefixes. */
export type CredentialConfig =
  | PasswordCredentialConfig
  | { readonly kind: 'dockerConfig'; readonly file: string }
  | { readonly kind: 'kubelet'; readonly configFile: string; readonly binDir: string }

export interface PasswordCredentialConfig {
  readonly kind: 'password'
  /** Repositories it is for, as a path prefix (`acme/team`); empty: all. */
  readonly path: string
  readonly username: string
  /** Exactly one of the two is set. A file is read again when it changes. */
  readonly password: string | undefined
  readonly passwordFile: string | undefined
}

export interface PreloadJob {
  readonly name: string
  readonly sources: readonly string[]
  /** A cron expression; `undefined`: only when asked. */
  readonly schedule: string | undefined
  readonly platforms: readonly string[]
  readonly pin: boolean
}
