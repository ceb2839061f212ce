/** What holds where nothing is said. */
import type { TagRuleInput, UpstreamInput } from './upstream-schema.ts'

/** The public registries of a configuration without `upstreams`. */
export function builtInUpstreams(): UpstreamInput[] {
  const others = ['ghcr.io', 'quay.io', 'registry.k8s.io', 'gcr.io', 'mcr.microsoft.com']
  return [
    { name: 'docker.io', url: 'https://registry-1.docker.io', default: true },
    ...[...others, 'public.ecr.aws'].map((name) => ({ name, url: `https://${name}` })),
  ]
}

/** At the end of every upstream's tag rules: together they match every tag. */
export const BUILT_IN_TAGS: readonly TagRuleInput[] = [{ match: 'latest' }, { match: '*' }]

/** In the units of the file, so that they read as the documentation has them. */
export const DEFAULT_VALUES = {
  listen: '0.0.0.0:5000',
  adminListen: '127.0.0.1:9090',
  drainTimeout: '60s',
  workers: 1,
  logLevel: 'info',
  logFormat: 'json',
  storagePath: './data',
  maxSize: '100GiB',
  minFree: '5%',
  unusedFor: 'never',
  scrubEvery: '30d',
  scrubRate: '32MiB',
  chunkCache: '256MiB',
  maxAge: '1h',
  refresh: 'blocking',
  staleIfError: '7d',
  staleGrant: '0s',
  connections: 16,
  connectTimeout: '10s',
  headersTimeout: '30s',
  idleTimeout: '60s',
} as const
