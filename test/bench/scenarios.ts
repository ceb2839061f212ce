import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { type Image, layerPath, manifestPath, type Pusher } from './content.ts'
import type { Load, LoadClient } from './load.ts'
import type { Server } from './proc.ts'
import type { Figure } from './sample.ts'
import { countBlobGets, filesOf } from './servers.ts'

const MANIFEST_TYPES =
  'Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json'
const MANIFESTS = 20
/** What a warm scenario moves in all: enough for a second of the quickest server's processor time. */
const WARM_BYTES = 4 * 2 ** 30

export type Role = 'larder' | 'distribution' | 'nginx'

/** What a scenario works with. */
export interface Bench {
  readonly client: LoadClient
  readonly pusher: Pusher
  readonly upstream: Server
  readonly servers: ReadonlyMap<Role, Server>
  readonly blobBytes: number
  /** How long a scenario that is measured by time runs. */
  readonly seconds: number
}

/** Larder's median, divided by that of `versus` where there is one; without a bound only shown. */
export interface Comparison {
  readonly figure: Figure
  readonly versus?: Role
  readonly atMost?: number
  readonly atLeast?: number
}

export interface Scenario {
  readonly name: string
  readonly title: string
  readonly moves: 'blobs' | 'manifests'
  readonly roles: readonly Role[]
  /** Whether each round needs content that no server has seen. */
  readonly cold: boolean
  readonly comparisons: readonly Comparison[]
  push(bench: Bench): Promise<readonly Image[]>
  /** What is asked of a server before it is measured. */
  prime(bench: Bench, role: Role, server: Server, images: readonly Image[]): Promise<void>
  load(bench: Bench, role: Role, images: readonly Image[]): Omit<Load, 'port'>
}

export function createScenarios(): readonly Scenario[] {
  return [
    coldBlob('cold-1', 1, [
      { figure: 'seconds', versus: 'distribution', atMost: 1 },
      { figure: 'cpuSeconds', versus: 'distribution', atMost: 1 },
      { figure: 'seconds', versus: 'nginx' },
    ]),
    coldBlob('cold-50', 50, [
      { figure: 'seconds', versus: 'distribution', atMost: 0.6 },
      { figure: 'blobGets', atMost: 1 },
      { figure: 'firstByteP50Ms', versus: 'nginx' },
    ]),
    warmBlob('warm-blob-1', 1),
    warmBlob('warm-blob-8', 8),
    warmManifest('warm-manifest-digest', 'digest', ({ manifest }) => manifest),
    warmManifest('warm-manifest-tag', 'fresh tag', ({ tag }) => tag),
  ]
}

function coldBlob(name: string, clients: number, comparisons: readonly Comparison[]): Scenario {
  return {
    name,
    title: clients === 1 ? 'cold blob, one client' : `cold blob, ${clients} clients at once`,
    moves: 'blobs',
    roles: ['larder', 'distribution', 'nginx'],
    cold: true,
    comparisons,
    push: async ({ pusher, blobBytes }) => [await pusher.pushImage([blobBytes])],
    prime: ({ client }, _role, server, images) => pullManifests(client, server, images),
    load: (_bench, _role, images) => ({
      paths: images.map(layerPath),
      connections: clients,
      requests: 1,
    }),
  }
}

function warmBlob(name: string, clients: number): Scenario {
  return {
    name,
    title: clients === 1 ? 'warm blob, one client' : `warm blob, ${clients} clients`,
    moves: 'blobs',
    roles: ['larder', 'distribution', 'nginx'],
    cold: false,
    comparisons: [
      { figure: 'cpuPerGb', versus: 'distribution', atMost: 1 },
      { figure: 'cpuPerGb', versus: 'nginx' },
      { figure: 'gbPerSecond', versus: 'distribution' },
    ],
    push: async ({ pusher, blobBytes }) => [await pusher.pushImage([blobBytes])],
    prime: warmLayers,
    load: ({ blobBytes }, role, images) => ({
      paths: images.map(role === 'nginx' ? filePath : layerPath),
      connections: clients,
      requests: Math.ceil(WARM_BYTES / blobBytes / clients),
    }),
  }
}

function warmManifest(name: string, kind: string, reference: (image: Image) => string): Scenario {
  return {
    name,
    title: `warm manifest by ${kind}, 8 clients`,
    moves: 'manifests',
    roles: ['larder', 'distribution'],
    cold: false,
    comparisons: [
      { figure: 'requestsPerCpuSecond', versus: 'distribution', atLeast: 10 },
      { figure: 'requestsPerSecond', versus: 'distribution' },
    ],
    push: ({ pusher }) => pushSmallImages(pusher),
    prime: ({ client }, _role, server, images) => pullManifests(client, server, images),
    load: ({ seconds }, _role, images) => ({
      paths: images.map((image) => manifestPath(image, reference(image))),
      connections: 8,
      seconds,
      headers: [MANIFEST_TYPES],
    }),
  }
}

/** Ten layers each, as many real images have: their manifests are about 2 kB. */
async function pushSmallImages(pusher: Pusher): Promise<readonly Image[]> {
  const images: Image[] = []
  while (images.length < MANIFESTS) {
    images.push(await pusher.pushImage([100, 101, 102, 103, 104, 105, 106, 107, 108, 109]))
  }
  return images
}

/** As a client does before it asks for layers; by tag, so that the tag is known as well. */
async function pullManifests(
  client: LoadClient,
  server: Server,
  images: readonly Image[],
): Promise<void> {
  const paths = images.flatMap((image) =>
    [image.tag, image.manifest].map((reference) => manifestPath(image, reference)),
  )
  await client.run({
    port: server.port,
    paths,
    connections: 1,
    requests: 2 * paths.length,
    headers: [MANIFEST_TYPES],
  })
}

/** Pulls until the upstream is no longer asked: distribution stores after it has answered. */
async function warmLayers(
  { client, upstream }: Bench,
  role: Role,
  server: Server,
  images: readonly Image[],
): Promise<void> {
  if (role === 'nginx') {
    const files = filesOf(server)
    for (const image of images) await writeFile(join(files, image.tag), image.layerBytes)
    return
  }
  await pullManifests(client, server, images)
  for (let before = -1, now = 0; now !== before; ) {
    before = await countBlobGets(upstream)
    await client.run({ port: server.port, paths: images.map(layerPath), connections: 1 })
    await upstream.settle()
    await server.settle()
    now = await countBlobGets(upstream)
  }
}

function filePath({ tag }: Image): string {
  return `/files/${tag}`
}
