import type { Digest } from '../../src/oci/digest.ts'
import {
  startTestApp,
  type TestApp,
  type TestAppOptions,
  type TestUpstream,
} from '../support/app.ts'
import { FaultRegistry, type FaultRegistryOptions } from '../support/fault-registry.ts'
import type { ClientRequest } from '../support/http-client.ts'
import { buildImage, type Image, seededBytes } from '../support/images.ts'
import type { RecordedRequest } from '../support/scripted-server.ts'
import { TestClock } from './clock.ts'

export interface User {
  readonly name: string
  readonly password: string
}

/** May pull `team-a/…`. */
export const ANNA: User = { name: 'anna', password: 'canary-of-anna' }
/** May pull `team-b/…`. */
export const BERT: User = { name: 'bert', password: 'canary-of-bert' }
/** As anna, until {@link Tenants.revoke}. */
export const CARL: User = { name: 'carl', password: 'canary-of-carl' }
export const WRONG: User = { name: 'anna', password: 'guessed' }
/** Larder's own account, which may pull everything. */
export const LARDER: User = { name: 'larder', password: 'canary-of-larder' }

/** How long a right is good, and a refusal. */
export const GRANT_MS = 5 * 60_000
export const REFUSAL_MS = 30_000

/** A registry with token authentication and two tenants, and Larder in front of it. */
export interface Tenants extends AsyncDisposable {
  readonly registry: FaultRegistry
  readonly app: TestApp
  readonly clock: TestClock
  /** A new image under `repository:v1`. */
  put(repository: string): PutImage
  revoke(user: User): void
  restore(user: User): void
  /** From now on only some may pull it, or everybody again. */
  setPrivate(repository: string, isPrivate?: boolean): void
}

export interface PutImage {
  readonly repository: string
  readonly image: Image
  readonly layer: { readonly digest: Digest; readonly bytes: Buffer }
}

export interface TenantsOptions {
  readonly registry?: Partial<FaultRegistryOptions>
  readonly upstream?: Partial<TestUpstream>
  readonly app?: Partial<TestAppOptions>
}

export async function startTenants(options: TenantsOptions = {}): Promise<Tenants> {
  const everyone = [ANNA, BERT, CARL, LARDER]
  const users = Object.fromEntries(everyone.map(({ name, password }) => [name, password]))
  const closed = new Set<string>()
  const isPublic = { test: (name: string) => /^open\//.test(name) && !closed.has(name) }
  const registry = await new FaultRegistry({
    auth: {
      kind: 'token',
      users,
      public: isPublic as RegExp,
      mayUse,
      // Longer than any grant: a token must not outlive the secret that it was made of.
      expiresIn: 24 * 3600,
    },
    ...options.registry,
  }).start()
  const clock = new TestClock()
  const upstream = {
    name: 'reg.test',
    url: registry.origin,
    default: true,
    access: 'caller',
    allowPlainChallenge: true,
    ...options.upstream,
  } as const
  const app = await startTestApp({ upstreams: [upstream], clock, ...options.app }).catch(
    async (error: unknown) => {
      await registry.close()
      throw error
    },
  )
  let count = 0
  return {
    registry,
    app,
    clock,
    put(repository) {
      const bytes = seededBytes(`${repository}/${++count}`, 4096)
      const image = buildImage({ seed: `${repository}/${count}`, layers: [bytes] })
      registry.add(repository, image, 'v1')
      const [layer] = image.layers
      if (layer === undefined) throw new Error('the image has no layer')
      return { repository, image, layer: { digest: layer.digest, bytes } }
    },
    revoke: ({ name }) => void delete users[name],
    restore: ({ name, password }) => {
      users[name] = password
    },
    setPrivate: (repository, isPrivate = true) => {
      if (isPrivate) closed.add(repository)
      else closed.delete(repository)
      registry.auth.revokeTokens()
    },
    async [Symbol.asyncDispose]() {
      await app.close()
      await registry.close()
    },
  }
}

function mayUse(user: string, repository: string): boolean {
  if (user === LARDER.name) return true
  const team = user === BERT.name ? 'team-b/' : 'team-a/'
  return repository.startsWith(team)
}

export function basic({ name, password }: User): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`
}

export function as(user: User | undefined, request: ClientRequest = {}): ClientRequest {
  if (user === undefined) return request
  return { ...request, headers: { ...request.headers, Authorization: basic(user) } }
}

/** Requests for content, not for tokens. */
export function contentRequests(registry: FaultRegistry): RecordedRequest[] {
  return registry.find({ path: /^\/v2\/.+/ })
}
