/** Larder before a registry of images that are to be preloaded, and what its admin API says of it. */
import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { CheckedImage, CheckResult } from '../../src/airgap/check.ts'
import type { PreloadedImage } from '../../src/airgap/preload.ts'
import type { ProgressReport } from '../../src/airgap/progress.ts'
import type { PreloadDone } from '../../src/cli/preload-run.ts'
import { type Digest, encodedOf } from '../../src/oci/digest.ts'
import {
  startTestApp,
  type TestApp,
  type TestAppOptions,
  type TestUpstream,
} from '../support/app.ts'
import { FaultRegistry, type FaultRegistryOptions } from '../support/fault-registry.ts'
import { type ClientResponse, open, send } from '../support/http-client.ts'
import { buildImage, buildIndex, type Content, type Image } from '../support/images.ts'

export const ARM = { architecture: 'arm64', os: 'linux' }
/** What stands for the platform of what is none. */
const NO_PLATFORM = { architecture: 'unknown', os: 'unknown' }

export interface PreloadSiteOptions {
  readonly registry?: FaultRegistryOptions
  readonly upstream?: Partial<TestUpstream>
  readonly app?: Partial<TestAppOptions>
}

export interface Preloaded {
  readonly lines: readonly Line[]
  readonly images: ReadonlyMap<string, ImageLine>
  readonly done: PreloadDone
}

export interface Checked {
  readonly images: readonly CheckedImage[]
  readonly done: CheckResult
}

export interface Line {
  readonly event: string
}

export type ImageLine = Line &
  Omit<PreloadedImage, 'failure'> & {
    readonly error?: { readonly code: string; readonly message: string }
  }
export type ProgressLine = Line & ProgressReport

export class PreloadSite implements AsyncDisposable {
  readonly registry: FaultRegistry
  readonly app: TestApp

  static async start(options: PreloadSiteOptions = {}): Promise<PreloadSite> {
    const registry = await new FaultRegistry(options.registry).start()
    const upstream = { name: 'reg.test', url: registry.origin, ...options.upstream }
    const app = await startTestApp({ upstreams: [upstream], ...options.app }).catch(
      async (error: unknown) => {
        await registry.close()
        throw error
      },
    )
    return new PreloadSite(registry, app)
  }

  private constructor(registry: FaultRegistry, app: TestApp) {
    this.registry = registry
    this.app = app
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.app.close()
    await this.registry.close()
  }

  post(path: string, body: unknown): Promise<ClientResponse> {
    return send(this.app.adminUrl, `/api/v1${path}`, request(body))
  }

  /** Its events may be read as they come, or left. */
  begin(path: string, body: unknown, signal?: AbortSignal) {
    const more = signal === undefined ? {} : { signal }
    return open(this.app.adminUrl, `/api/v1${path}`, { ...request(body), ...more })
  }

  async preload(images: readonly string[], more: object = {}): Promise<Preloaded> {
    return preloadedOf(await this.lines('/preload', { images, ...more }))
  }

  async check(images: readonly string[], more: object = {}): Promise<Checked> {
    const lines = await this.lines('/check', { images, ...more })
    const checked = lines.filter(({ event }) => event === 'image')
    return {
      images: checked as unknown as readonly CheckedImage[],
      done: lines.at(-1) as unknown as CheckResult,
    }
  }

  async lines(path: string, body: unknown): Promise<readonly Line[]> {
    const { status, body: answer } = await this.post(path, body)
    assert.equal(status, 200, answer.toString())
    return linesOf(answer.toString())
  }

  /** GETs of manifests and blobs, which cost a registry something. */
  get gets(): number {
    return this.registry.countBlobs() + this.registry.countManifests('GET')
  }

  /** Everything of it, by tag and by digest, as a node would ask for it. */
  async pull(repository: string, content: Content, tag?: string): Promise<void> {
    const { digest, bytes } = content.manifest
    for (const reference of tag === undefined ? [digest] : [tag, digest]) {
      const path = `/v2/${repository}/manifests/${reference}?ns=reg.test`
      const manifest = await this.app.get(path)
      assert.equal(manifest.status, 200, `${path}: ${manifest.body}`)
      assert.deepEqual(manifest.body, bytes)
    }
    for (const child of content.children) await this.pull(repository, child)
    if (content.children.length > 0) return
    for (const [blob, expected] of content.blobs) {
      const path = `/v2/${repository}/blobs/${blob}?ns=reg.test`
      const { status, body } = await this.app.get(path)
      assert.equal(status, 200, `${path}: ${body}`)
      assert.ok(body.equals(expected), path)
    }
  }

  fileOf(digest: Digest): string {
    const hex = encodedOf(digest)
    return join(this.app.dataDir, 'blobs', 'sha256', hex.slice(0, 2), hex)
  }

  async lose(digest: Digest): Promise<void> {
    await rm(this.fileOf(digest))
  }

  /** Other bytes of the same length. */
  async damage(digest: Digest): Promise<void> {
    const bytes = await readFile(this.fileOf(digest))
    bytes[0] = (bytes[0] ?? 0) ^ 0xff
    await writeFile(this.fileOf(digest), bytes)
  }
}

export function preloadedOf(lines: readonly Line[]): Preloaded {
  const done = lines.at(-1)
  assert.equal(done?.event, 'done', JSON.stringify(done))
  const images = new Map<string, ImageLine>()
  for (const line of lines) {
    if (line.event === 'image') images.set((line as ImageLine).image, line as ImageLine)
  }
  return { lines, images, done: done as unknown as PreloadDone }
}

export function linesOf(text: string): readonly Line[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

/** For amd64 and arm64, each with its attestation, as BuildKit makes it. */
export function attestedIndex(seed: string, sizes: readonly number[] = [2048]) {
  const amd = buildImage({ seed, layers: sizes })
  const arm = buildImage({ seed: `${seed}/arm`, platform: ARM, layers: sizes })
  const [ofAmd, ofArm] = [attestation(amd), attestation(arm)]
  return { amd, arm, ofAmd, ofArm, index: buildIndex([amd, arm, ofAmd, ofArm]) }
}

function attestation(image: Image): Image {
  const seed = `attestation/${image.manifest.digest}`
  const built = buildImage({ seed, layers: [128], platform: NO_PLATFORM })
  const annotations = {
    'vnd.docker.reference.type': 'attestation-manifest',
    'vnd.docker.reference.digest': image.manifest.digest,
  }
  return { ...built, descriptor: { ...built.descriptor, annotations } }
}

function request(body: unknown) {
  const headers = { 'Content-Type': 'application/json' }
  return { method: 'POST', headers, body: JSON.stringify(body) }
}
