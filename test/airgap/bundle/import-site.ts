/** Larder that is to take archives, and what its store has before and after. */
import assert from 'node:assert/strict'

import { TAR_TYPE } from '../../../src/admin/media-types.ts'
import { readFiles } from '../../crash/disk.ts'
import { startTestApp, type TestApp, type TestAppOptions } from '../../support/app.ts'
import { type ClientResponse, send } from '../../support/http-client.ts'
import type { Content } from '../../support/images.ts'
import { type Entry, REGISTRY, tarOf } from './archives.ts'

export interface Line {
  readonly event: string
  readonly image?: string
  readonly digest?: string
  readonly state?: string
  readonly reason?: string
  readonly message?: string
  readonly error?: { readonly code: string; readonly message: string }
  readonly images?: {
    readonly published: number
    readonly unchanged: number
    readonly refused: number
  }
  readonly addedBlobs?: number
}

/** Without a network, as a site behind a gap. */
export function startOffline(options: Partial<TestAppOptions> = {}): Promise<TestApp> {
  const url = 'http://127.0.0.1:9'
  return startTestApp({
    upstreams: [{ name: REGISTRY, url, default: true }],
    offline: true,
    ...options,
  })
}

export async function bring(
  app: Pick<TestApp, 'adminUrl'>,
  archive: readonly Entry[] | Buffer,
  query: Readonly<Record<string, string>> = {},
): Promise<Line[]> {
  const body = Buffer.isBuffer(archive) ? archive : tarOf(archive)
  const answer = await post(app, body, query)
  assert.equal(answer.status, 200, answer.body.toString())
  const lines = answer.body.toString().trim().split('\n')
  return lines.map((line) => JSON.parse(line) as Line).filter(({ event }) => event !== 'progress')
}

export function post(
  { adminUrl }: Pick<TestApp, 'adminUrl'>,
  body: Buffer,
  query: Readonly<Record<string, string>> = {},
): Promise<ClientResponse> {
  const path = `/api/v1/import?${new URLSearchParams(query)}`
  return send(adminUrl, path, { method: 'POST', headers: { 'Content-Type': TAR_TYPE }, body })
}

/** What the last line says. */
export function endOf(lines: readonly Line[]): Line {
  const last = lines.at(-1)
  assert.ok(last?.event === 'done' || last?.event === 'failed', JSON.stringify(lines))
  return last
}

export function imagesOf(lines: readonly Line[]) {
  return lines
    .filter(({ event }) => event === 'image')
    .map(({ image, state }) => `${image} ${state}`)
}

/** Everything of it as a node asks for it, each byte looked at. */
export async function pull(
  app: Pick<TestApp, 'get'>,
  image: Content,
  reference: string = image.manifest.digest,
  repository = 'team/app',
): Promise<void> {
  const root = await app.get(`/v2/${repository}/manifests/${reference}`)
  assert.equal(root.status, 200, root.body.toString())
  assert.deepEqual(root.body, image.manifest.bytes)
  for (const child of image.children) await pull(app, child, undefined, repository)
  for (const [digest, bytes] of image.blobs) {
    const blob = await app.get(`/v2/${repository}/blobs/${digest}`)
    assert.equal(blob.status, 200, blob.body.toString())
    assert.deepEqual(blob.body, bytes)
  }
}

export function warningsOf(lines: readonly Line[]): string {
  return lines.flatMap(({ event, message }) => (event === 'warning' ? [message] : [])).join('\n')
}

/** Files of contents and of what is under way, and rows of contents. */
export async function storedIn({ dataDir, adminUrl }: TestApp) {
  const [blobs, ingest] = await Promise.all([
    readFiles(dataDir, 'blobs'),
    readFiles(dataDir, 'ingest'),
  ])
  const { body } = await send(adminUrl, '/api/v1/storage')
  const { usedBytes, manifests, tags, blobs: rows } = JSON.parse(body.toString())
  const numbers = { usedBytes, manifests, tags, rows }
  return { files: [...blobs.keys()].sort(), ingest: [...ingest.keys()], ...numbers }
}
