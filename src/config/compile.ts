/** Makes a `Config` of what was written: units gone, defaults in, paths absolute. */
import { availableParallelism } from 'node:os'

import { compileUpstream } from './compile-upstream.ts'
import type { Config, FrontDoorConfig, PreloadJob, ServerConfig, StorageConfig } from './config.ts'
import { builtInUpstreams, DEFAULT_VALUES } from './defaults.ts'
import { inheritDefaults } from './inherit.ts'
import type { Path } from './problems.ts'
import type { ConfigInput, PreloadInput } from './schema.ts'
import { addressOf, bytesOf, durationMsOf, spaceOf } from './units.ts'
import type { UpstreamInput } from './upstream-schema.ts'
import { MAX_WORKERS } from './values.ts'

/** Makes the file's name that was written at `path` absolute. */
export type ResolveFile = (path: Path, file: string) => string

/** @param input without misfits and breaches */
export function compileConfig(input: ConfigInput, resolveFile: ResolveFile): Config {
  const tokenFile = input.admin?.tokenFile
  const upstreams = input.upstreams ?? builtInUpstreams()
  return {
    server: compileServer(input.server, resolveFile),
    auth: compileAuth(input.auth, resolveFile),
    admin: { tokenFile: tokenFile ? resolveFile(['admin', 'tokenFile'], tokenFile) : undefined },
    log: {
      level: input.log?.level ?? DEFAULT_VALUES.logLevel,
      format: input.log?.format ?? DEFAULT_VALUES.logFormat,
    },
    storage: compileStorage(input.storage, resolveFile),
    memory: {
      chunkCacheBytes: bytesOf(input.memory?.chunkCache ?? DEFAULT_VALUES.chunkCache),
    },
    upstreams: upstreams.map((own, index) => {
      // What `defaults` adds takes nothing away: it stays a whole upstream.
      const upstream = inheritDefaults(input.defaults, own) as UpstreamInput
      return compileUpstream(upstream, (path, file) =>
        resolveFile(['upstreams', index, ...path], file),
      )
    }),
    offline: input.offline ?? false,
    preload: (input.preload ?? []).map((job, index) =>
      compileJob(job, (path, file) => resolveFile(['preload', index, ...path], file)),
    ),
  }
}

function compileServer(server: ConfigInput['server'], resolveFile: ResolveFile): ServerConfig {
  const { certFile, keyFile, clientCaFile } = server?.tls ?? {}
  const at = (key: string, file: string) => resolveFile(['server', 'tls', key], file)
  return {
    listen: addressOf(server?.listen ?? DEFAULT_VALUES.listen),
    adminListen: addressOf(server?.adminListen ?? DEFAULT_VALUES.adminListen),
    tls:
      certFile && keyFile
        ? {
            certFile: at('certFile', certFile),
            keyFile: at('keyFile', keyFile),
            clientCaFile: clientCaFile ? at('clientCaFile', clientCaFile) : undefined,
          }
        : undefined,
    drainTimeoutMs: durationMsOf(server?.drainTimeout ?? DEFAULT_VALUES.drainTimeout),
    workers: workersOf(server?.workers ?? DEFAULT_VALUES.workers),
  }
}

/** As many as can run at once: of a container that is what its CPU quota leaves it. */
function workersOf(workers: number | 'auto'): number {
  return workers === 'auto' ? Math.min(MAX_WORKERS, availableParallelism()) : workers
}

function compileAuth(
  auth: ConfigInput['auth'],
  resolveFile: ResolveFile,
): FrontDoorConfig | undefined {
  if (auth === undefined) return undefined
  const { htpasswdFile, clientCertificates, rules } = auth
  return {
    htpasswdFile: htpasswdFile ? resolveFile(['auth', 'htpasswdFile'], htpasswdFile) : undefined,
    clientCertificates: clientCertificates ?? false,
    rules: rules ?? [],
  }
}

function compileStorage(storage: ConfigInput['storage'], resolveFile: ResolveFile): StorageConfig {
  return {
    path: resolveFile(['storage', 'path'], storage?.path ?? DEFAULT_VALUES.storagePath),
    maxSize: spaceOf(storage?.maxSize ?? DEFAULT_VALUES.maxSize),
    minFree: spaceOf(storage?.minFree ?? DEFAULT_VALUES.minFree),
    unusedForMs: periodMsOf(storage?.unusedFor ?? DEFAULT_VALUES.unusedFor),
    scrub: {
      everyMs: periodMsOf(storage?.scrub?.every ?? DEFAULT_VALUES.scrubEvery),
      bytesPerSecond: bytesOf(storage?.scrub?.rate ?? DEFAULT_VALUES.scrubRate),
    },
  }
}

/** Milliseconds; `never` is `undefined`. */
function periodMsOf(text: string): number | undefined {
  return text === 'never' ? undefined : durationMsOf(text)
}

function compileJob(job: PreloadInput, resolveFile: ResolveFile): PreloadJob {
  return {
    name: job.name,
    sources: job.sources.map((source, index) =>
      isFileSource(source) ? resolveFile(['sources', index], source) : source,
    ),
    schedule: job.schedule ?? undefined,
    platforms: job.platforms ?? [],
    pin: job.pin ?? false,
  }
}

/** What is certainly a path, not a reference: by how it begins, or by a list's or bundle's suffix. */
function isFileSource(source: string): boolean {
  return (
    /^\.{0,2}\//.test(source) ||
    /^[^:@]+\.(?:txt|list|ya?ml|json|tar|tar\.gz|tgz|tar\.zst)$/.test(source)
  )
}
