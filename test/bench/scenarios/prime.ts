import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { type Image, layerPath, manifestPath } from '../content.ts'
import type { LoadClient } from '../load.ts'
import type { Server } from '../proc.ts'
import { countBlobGets, filesOf } from '../servers.ts'
import type { Bench, Role } from './scenario.ts'

export const MANIFEST_TYPES =
  'Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json'

/** As a client does before it asks for layers; by tag, so that the tag is known as well. */
export async function pullManifests(
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

/** Pulls `paths` until the upstream is no longer asked: distribution stores after it has answered. */
export async function pullUntilWarm(
  { client, upstream }: Bench,
  server: Server,
  paths: readonly string[],
): Promise<void> {
  for (let before = -1, now = 0; now !== before; ) {
    before = await countBlobGets(upstream)
    await client.run({
      port: server.port,
      paths,
      connections: 1,
      requests: paths.length,
      headers: [MANIFEST_TYPES],
    })
    await upstream.settle()
    await server.settle()
    now = await countBlobGets(upstream)
  }
}

/** Every server has the first layers, nginx as plain files. */
export async function warmLayers(
  bench: Bench,
  role: Role,
  server: Server,
  images: readonly Image[],
): Promise<void> {
  if (role === 'nginx') return writeFiles(server, images)
  await pullManifests(bench.client, server, images)
  await pullUntilWarm(bench, server, images.map(layerPath))
}

/** For nginx to serve as they are. */
export async function writeFiles(nginx: Server, images: readonly Image[]): Promise<void> {
  const files = filesOf(nginx)
  for (const image of images) await writeFile(join(files, image.tag), image.layerBytes)
}

export function filePath({ tag }: Image): string {
  return `/files/${tag}`
}
