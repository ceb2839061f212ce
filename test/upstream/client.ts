import type { UpstreamConfig, UpstreamLimits } from '../../src/config/config.ts'
import { createLogger } from '../../src/log.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseReference, parseRepository } from '../../src/oci/reference.ts'
import { UpstreamError } from '../../src/upstream/errors.ts'
import { createRegistry, type RegistryDependencies } from '../../src/upstream/factory.ts'
import type { UpstreamObserver } from '../../src/upstream/observer.ts'
import type { RegistryClient } from '../../src/upstream/registry.ts'

import { Sleepers } from './sleepers.ts'

export const REPOSITORY = parseRepository('acme/app')
export const LATEST = parseReference('latest')
export const AS_LARDER = { as: { kind: 'larder' } } as const

export interface Client {
  readonly registry: RegistryClient
  /** Both times; move it as needed. */
  readonly clock: { time: number; now(): number; elapsed(): number }
  /** What the observer was told, each with its event's name. */
  readonly events: ({ readonly event: string } & Record<string, unknown>)[]
  /** The delays that were slept. */
  readonly delays: number[]
  /** Everything logged, as it would appear. */
  readonly log: string[]
  [Symbol.asyncDispose](): Promise<void>
}

type Overrides = Omit<Partial<UpstreamConfig>, 'limits'> & { limits?: Partial<UpstreamLimits> }

/** A client of `url` with a clock that stands, delays that cost nothing and an observer that remembers. */
export function createClient(
  url: string,
  { limits, ...config }: Overrides = {},
  overrides: Partial<RegistryDependencies> = {},
): Client {
  const { dependencies, ...parts } = createDependencies()
  const registry = createRegistry(
    { ...createConfig(url), ...config, limits: { ...LIMITS, ...limits } },
    { ...dependencies, ...overrides },
  )
  return { registry, ...parts, [Symbol.asyncDispose]: () => registry.close() }
}

/** What clients are built with, and what it is told. */
export function createDependencies() {
  const clock = {
    time: 1_800_000_000_000,
    now: () => clock.time,
    elapsed: () => clock.time,
  }
  const events: Client['events'] = []
  const delays: number[] = []
  const log: string[] = []
  const dependencies: RegistryDependencies = {
    logger: createLogger({
      level: 'debug',
      format: 'json',
      destination: { write: (line) => void log.push(line) },
    }),
    observe: recorder(events),
    clock,
    random: () => 0.5,
    sleep: async (delayMs, signal) => {
      if (delayMs === LINE_MS) await new Sleepers().sleep(delayMs, signal)
      else delays.push(delayMs)
    },
    proxyEnvironment: { httpProxy: undefined, httpsProxy: undefined, noProxy: undefined },
    version: '1.2.3',
  }
  return { dependencies, clock, events, delays, log }
}

/** So long a request waits for a place: it is not what costs nothing. */
const LINE_MS = 30_000

const LIMITS: UpstreamLimits = {
  connections: 16,
  bandwidth: 0,
  connectTimeoutMs: 2_000,
  headersTimeoutMs: 5_000,
  idleTimeoutMs: 5_000,
}

export function createConfig(url: string): UpstreamConfig {
  return {
    name: 'test',
    match: ['test'],
    url,
    mirrors: [],
    default: false,
    access: 'shared',
    credentials: [],
    tags: [],
    staleIfErrorMs: 0,
    staleGrantMs: 0,
    repositories: { allow: ['**'], deny: [] },
    writes: 'deny',
    allowPlainChallenge: false,
    platforms: 'all',
    trustedRealms: [],
    caFile: undefined,
    clientCertFile: undefined,
    clientKeyFile: undefined,
    proxy: undefined,
    plainHttp: true,
    limits: LIMITS,
  }
}

/** Remembers what it is told. */
export function recorder(events: Client['events']): UpstreamObserver {
  return {
    request: (fields) => void events.push({ event: 'request', ...fields }),
    rateLimit: (fields) => void events.push({ event: 'rateLimit', ...fields }),
    error: (fields) => void events.push({ event: 'error', ...fields }),
    retry: (fields) => void events.push({ event: 'retry', ...fields }),
    circuit: (fields) => void events.push({ event: 'circuit', ...fields }),
    waiting: (fields) => void events.push({ event: 'waiting', ...fields }),
    token: (fields) => void events.push({ event: 'token', ...fields }),
    credentialExpiry: (fields) => void events.push({ event: 'credentialExpiry', ...fields }),
  }
}

/** A credential as the configuration gives it. */
export function password(username: string, secret: string, path = '') {
  return {
    kind: 'password',
    path,
    username,
    password: secret,
    passwordFile: undefined,
  } as const
}

/** For `assert.rejects`: an UpstreamError of that kind and reason. */
export function failure(kind: string, reason?: string): (error: unknown) => boolean {
  return (error) => {
    if (!(error instanceof UpstreamError)) throw error
    if (error.kind !== kind || (reason !== undefined && error.reason !== reason)) throw error
    return true
  }
}

export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'

export interface SampleManifest {
  readonly bytes: Buffer
  readonly digest: Digest
  /** As a well-behaved registry sends it. */
  readonly answer: {
    readonly status: 200
    readonly headers: Readonly<Record<string, string>>
    readonly body: Buffer
  }
}

export function sampleManifest(): SampleManifest {
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, layers: [] }),
  )
  const digest = digestOf(bytes)
  const headers = { 'content-type': MANIFEST_TYPE, 'docker-content-digest': digest }
  return { bytes, digest, answer: { status: 200, headers, body: bytes } }
}

/** How Basic says it. */
export function basic(username: string, secret: string): string {
  return `Basic ${Buffer.from(`${username}:${secret}`).toString('base64')}`
}
