import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { type Digest, digestOf, encodedOf } from '../../src/oci/digest.ts'
import {
  IMPATIENT,
  startTestApp,
  type TestApp,
  type TestAppOptions,
  type TestUpstream,
} from '../support/app.ts'
import { FaultRegistry, type FaultRegistryOptions } from '../support/fault-registry.ts'
import type { ClientRequest, ClientResponse } from '../support/http-client.ts'
import { seededBytes } from '../support/images.ts'
import { sumOf } from '../support/samples.ts'
import { ScriptedServer } from '../support/scripted-server.ts'

/** In no message, log or request to a stranger may it appear. */
export const CANARY = 'canary-3f9c1d77'
export const USER = 'larder'

export interface Site extends AsyncDisposable {
  readonly registry: FaultRegistry
  /** A host that nobody has configured. */
  readonly stranger: ScriptedServer
  readonly app: TestApp
}

export interface SiteOptions {
  readonly registry?: FaultRegistryOptions
  readonly upstream?: Partial<TestUpstream>
  readonly app?: Partial<TestAppOptions>
}

/** A registry with a password, Larder in front of it, and a stranger. */
export async function startSite(options: SiteOptions = {}): Promise<Site> {
  const auth = { kind: 'basic', users: { [USER]: CANARY } } as const
  const registry = await new FaultRegistry({ auth, ...options.registry }).start()
  const stranger = await new ScriptedServer().start()
  const password = { kind: 'password', path: '', username: USER, password: CANARY } as const
  const app = await startTestApp({
    upstreams: [
      {
        name: 'test',
        url: registry.origin,
        default: true,
        access: 'shared',
        credentials: [{ ...password, passwordFile: undefined }],
        limits: IMPATIENT,
        ...options.upstream,
      },
    ],
    ...options.app,
  })
  return {
    registry,
    stranger,
    app,
    async [Symbol.asyncDispose]() {
      await app.close()
      await registry.close()
      await stranger.close()
    },
  }
}

export interface PutBlob {
  readonly digest: Digest
  readonly bytes: Buffer
  readonly path: string
}

/** New bytes in the registry. */
export function putBlob({ registry }: Site, size: number, seed: string | number = 0): PutBlob {
  const bytes = seededBytes(`site/${seed}/${size}`, size)
  const digest = registry.content.putBlob('acme/app', bytes)
  return { digest, bytes, path: `/v2/acme/app/blobs/${digest}` }
}

/**
 * Sends, and checks of the answer whatever came of it: what is complete under the digest is right,
 * and an error is the specification's.
 *
 * @returns `undefined` when the connection ended before an answer began
 */
export async function pull(
  { app }: Site,
  { bytes, path }: Pick<PutBlob, 'bytes' | 'path'>,
  request: ClientRequest = {},
): Promise<ClientResponse | undefined> {
  const got = await app.get(path, request).catch(() => undefined)
  if (got?.complete !== true || request.method === 'HEAD') return got
  if (got.status === 200) assert.ok(got.body.equals(bytes), `${path}: complete, but wrong`)
  if (got.status === 206) assertPart(got, bytes)
  if (got.status < 400) return got
  const { errors } = JSON.parse(got.body.toString()) as { errors: { code: string }[] }
  assert.match(errors[0]?.code ?? '', /^[A-Z_]+$/)
  assert.notEqual(got.status, 500, got.body.toString())
  return got
}

/** A part that holds the last byte was held back until the whole was verified. */
function assertPart({ headers, body }: ClientResponse, bytes: Buffer): void {
  if (headers['content-type']?.startsWith('multipart/') === true) return
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '')
  assert.ok(range, 'no Content-Range')
  const [start, end, size] = range.slice(1).map(Number) as [number, number, number]
  if (end + 1 < size) return
  assert.equal(size, bytes.length)
  assert.ok(body.equals(bytes.subarray(start, end + 1)), 'a wrong part, complete')
}

/** Everything under its final name is what the name says, and nothing is left half done. */
export async function assertStoreRight({ app }: Site, missing: readonly Digest[] = []) {
  const found = new Set<string>()
  const root = join(app.dataDir, 'blobs')
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const bytes = await readFile(join(entry.parentPath, entry.name))
    const algorithm = entry.name.length === 64 ? 'sha256' : 'sha512'
    assert.equal(encodedOf(digestOf(bytes, algorithm)), entry.name, 'wrong bytes are stored')
    found.add(entry.name)
  }
  for (const digest of missing) assert.equal(found.has(encodedOf(digest)), false)
}

/** Settles when no download is under way: a client has its last byte before the disk has. */
export async function allLanded({ app }: Site): Promise<void> {
  while (sumOf(await app.samples(), 'larder_inflight_fetches') > 0);
}

/** Names in `ingest/` once all have landed: what was begun and not finished. */
export async function partsOf(site: Site): Promise<readonly string[]> {
  await allLanded(site)
  return readdir(join(site.app.dataDir, 'ingest'))
}

/** The stranger was never shown anything, and the log keeps the secret. */
export function assertNothingLeaked({ stranger, app }: Site): void {
  for (const { headers, url, body } of stranger.requests) {
    assert.equal(headers.authorization, undefined)
    assert.equal(JSON.stringify([headers, url, body.toString()]).includes(CANARY), false)
  }
  const encoded = Buffer.from(`${USER}:${CANARY}`).toString('base64')
  for (const line of app.log) {
    assert.equal(line.includes(CANARY) || line.includes(encoded), false, line)
  }
}
