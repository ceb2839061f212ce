/** What the admin API exports, and what is in that. */
import assert from 'node:assert/strict'

import { BUNDLE_FILE, type Bundle, parseBundle } from '../../../src/airgap/bundle/bundle.ts'
import type { IncompleteImage } from '../../../src/airgap/bundle/draft.ts'
import { readEntries } from '../../../src/airgap/bundle/tar-entries.ts'
import type { Digest } from '../../../src/oci/digest.ts'
import type { Content } from '../../support/images.ts'
import { PreloadSite, type PreloadSiteOptions } from '../site.ts'

export interface Plan {
  readonly images: number
  readonly blobs: number
  readonly bytes: number
  readonly leftOut: readonly IncompleteImage[]
  readonly missing: readonly IncompleteImage[]
  readonly bundle: object
}

/** Larder that has images, each `reg.test/team/app:<tag>`. */
export async function startFilled(
  images: Readonly<Record<string, Content>>,
  options: PreloadSiteOptions = {},
): Promise<PreloadSite> {
  const site = await PreloadSite.start(options)
  for (const [tag, image] of Object.entries(images)) await fill(site, tag, image)
  return site
}

export async function fill(site: PreloadSite, tag: string, image: Content): Promise<void> {
  site.registry.add('team/app', image, tag)
  const { done } = await site.preload([nameOf(tag)])
  assert.deepEqual(done.failed, [])
}

export function nameOf(tag: string): string {
  return `reg.test/team/app:${tag}`
}

/** The bytes of a whole bundle. */
export async function exported(site: PreloadSite, request: object): Promise<Buffer> {
  const { status, body, complete, headers } = await site.post('/export', request)
  assert.equal(status, 200, body.toString())
  assert.equal(headers['content-type'], 'application/x-tar')
  assert.ok(complete)
  return body
}

export async function planned(site: PreloadSite, request: object): Promise<Plan> {
  const { status, body } = await site.post('/export/plan', request)
  assert.equal(status, 200, body.toString())
  return JSON.parse(body.toString()) as Plan
}

/** Its files by name, in their order. */
export async function filesIn(archive: Buffer): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>()
  const body = (async function* () {
    yield archive
  })()
  for await (const { name, content } of readEntries(body)) {
    files.set(name, Buffer.concat(await Array.fromAsync(content)))
  }
  return files
}

export async function bundleIn(archive: Buffer): Promise<Bundle> {
  return parseBundle((await filesIn(archive)).get(BUNDLE_FILE) ?? Buffer.alloc(0))
}

/** The digests that an archive has the bytes of. */
export async function contentsIn(archive: Buffer): Promise<readonly Digest[]> {
  const names = [...(await filesIn(archive)).keys()]
  return names.flatMap((name) =>
    name.startsWith('blobs/') ? [name.slice('blobs/'.length).replace('/', ':') as Digest] : [],
  )
}
