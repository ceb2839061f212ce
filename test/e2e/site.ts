import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { Descriptor, Platform } from '../../src/oci/descriptor.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { buildImage, buildIndex, type Content, type Image, seededBytes } from '../support/images.ts'
import { type RunningLarder, startLarder } from '../support/larder.ts'
import { tar, tarLayer } from '../support/tar.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import {
  type AuthKind,
  countGets,
  type LoggedRequest,
  PASSWORD,
  type RealRegistry,
  startRealRegistry,
  USER,
} from './real-registry.ts'

/** Larder in front of one docker-registry of each kind, known to it as `<kind>.test`. */
export interface Site {
  readonly larder: RunningLarder
  readonly registries: Readonly<Record<AuthKind, RealRegistry>>
  close(): Promise<void>
}

export const KINDS: readonly AuthKind[] = ['open', 'htpasswd', 'token']

/** What a client on this machine takes of an index. */
export const HERE: Platform = {
  os: 'linux',
  architecture: process.arch === 'x64' ? 'amd64' : process.arch,
}
const ELSEWHERE: Platform = { os: 'linux', architecture: 's390x' }

export async function startSite(): Promise<Site> {
  await using stack = new AsyncDisposableStack()
  const dir = stack.use(await makeTempDir('larder-e2e-site-'))
  const passwordFile = join(dir.path, 'password')
  await writeFile(passwordFile, PASSWORD, { mode: 0o600 })
  const start = async (kind: AuthKind) => stack.use(await startRealRegistry(kind))
  const registries = {
    open: await start('open'),
    htpasswd: await start('htpasswd'),
    token: await start('token'),
  }
  const upstreams = KINDS.map((kind) => upstreamOf(registries[kind], passwordFile))
  const larder = await startLarder({ upstreams })
  // Closed apart from the rest: the end of Larder is itself a test.
  const rest = stack.move()
  const close = async () => {
    try {
      assert.equal(await larder.close(), 0, 'larder ends with 0 on SIGTERM')
    } finally {
      await rest.disposeAsync()
    }
  }
  return { larder, registries, close }
}

function upstreamOf({ auth, url, tokens }: RealRegistry, passwordFile: string) {
  const common = { name: `${auth}.test`, match: [`${auth}.test`], url }
  if (auth === 'open') return { ...common, access: 'public' }
  const credentials = [{ username: USER, passwordFile }]
  const realms = tokens === undefined ? {} : { trustedRealms: [new URL(tokens.realm).origin] }
  return { ...common, access: 'shared', credentials, ...realms }
}

/** An image that can be unpacked, unlike that of any other seed in every blob. */
export function makeImage(
  seed: string,
  mediaTypes: 'oci' | 'docker' = 'oci',
  platform = HERE,
): Image {
  const layers = ['etc/first', 'usr/second'].map((name) =>
    tarLayer({ [name]: `${seed} ${platform.architecture}\n`.repeat(1000) }),
  )
  return buildImage({ seed, mediaTypes, platform, layers })
}

/** An image that can be unpacked, of one layer that cannot be compressed. */
export function makeLargeImage(
  seed: string,
  bytes: number,
): { readonly image: Image; readonly layer: Descriptor } {
  const files = { 'usr/large': seededBytes(seed, bytes) }
  const image = buildImage({ seed, platform: HERE, layers: [tar(files)] })
  const [layer] = image.layers
  if (layer === undefined) throw new Error('an image without a layer')
  return { image, layer }
}

/** An index over an image for this machine, the first, and one for another. */
export function makeIndex(seed: string): Content & { readonly children: readonly Image[] } {
  const children = [makeImage(seed), makeImage(seed, 'oci', ELSEWHERE)]
  return { ...buildIndex(children), children }
}

export interface PullExpectation {
  readonly registry: RealRegistry
  /** Everything that the client needs, and nothing else. */
  readonly manifests: readonly Digest[]
  readonly blobs: readonly Digest[]
  pull(): Promise<unknown>
  /** Makes the client as if it had never pulled. */
  forget?(): Promise<unknown>
  /** What a warm pull may ask of the upstream: nothing, or whether a tag has moved. */
  readonly warm?: 'nothing' | 'revalidation'
}

/** Pulls cold: one upstream GET of each content. Then warm: none of any. */
export async function pullColdThenWarm(expected: PullExpectation): Promise<void> {
  const { registry, manifests, blobs, pull, forget, warm = 'nothing' } = expected
  await registry.forget()
  await pull()
  const cold = await registry.requests()
  for (const digest of blobs) {
    assert.equal(countGets(cold, 'blobs', digest), 1, `cold, GETs of blob ${digest}${tell(cold)}`)
  }
  assert.equal(countGets(cold, 'blobs'), blobs.length, `cold, GETs of blobs${tell(cold)}`)
  assert.equal(countGets(cold, 'manifests'), manifests.length, `cold, manifests${tell(cold)}`)
  await forget?.()
  await registry.forget()
  await pull()
  const again = await registry.requests()
  assert.equal(countGets(again, 'blobs'), 0, `warm, GETs of blobs${tell(again)}`)
  assert.equal(countGets(again, 'manifests'), 0, `warm, GETs of manifests${tell(again)}`)
  if (warm === 'nothing') assert.deepEqual(again, [], 'warm, any request')
  else assert.notEqual(again.length, 0, 'warm, a request for the tag')
}

function tell(requests: readonly LoggedRequest[]): string {
  const lines = requests.map(({ method, path, status }) => `  ${method} ${path} ${status}`)
  return `; the upstream was asked:\n${lines.join('\n')}\n`
}
