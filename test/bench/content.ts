import { randomFillSync } from 'node:crypto'

import { type Digest, digestOf } from '../../src/oci/digest.ts'

const IMAGE_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const IMAGE_CONFIG = 'application/vnd.oci.image.config.v1+json'
const REPOSITORY = 'bench/app'
const LAYER = 'application/vnd.oci.image.layer.v1.tar'

/** An image as it was pushed. */
export interface Image {
  readonly repository: string
  readonly tag: string
  readonly manifest: Digest
  /** Of its first layer. */
  readonly layer: Digest
  readonly layers: readonly Digest[]
  readonly config: Digest
  readonly layerBytes: Bytes
}

type Bytes = Uint8Array<ArrayBuffer>

export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

export function manifestPath({ repository }: Image, reference: string): string {
  return `/v2/${repository}/manifests/${reference}`
}

export function layerPath({ repository, layer }: Image): string {
  return blobPath(repository, layer)
}

export function blobPath(repository: string, digest: Digest): string {
  return `/v2/${repository}/blobs/${digest}`
}

/** Pushes images that nobody has seen yet: their layers are random. */
export class Pusher {
  readonly #url: string
  #made = 0

  constructor(url: string) {
    this.#url = url
  }

  /**
   * `layerSizes` in bytes; there must be at least one.
   *
   * @param shared layers that were pushed before, below its own
   */
  async pushImage(
    layerSizes: readonly [number, ...number[]],
    shared: readonly Descriptor[] = [],
  ): Promise<Image> {
    const repository = REPOSITORY
    const tag = `v${this.#made++}`
    const [first, ...rest] = layerSizes
    const layerBytes = randomBytes(first)
    const layer = await this.#pushBlob(repository, layerBytes, LAYER)
    const layers = [...shared, layer]
    for (const size of rest) layers.push(await this.pushLayer(size))
    const config = await this.#pushBlob(repository, imageConfig(tag), IMAGE_CONFIG)
    const annotations = { 'org.opencontainers.image.version': tag }
    const document = { schemaVersion: 2, mediaType: IMAGE_MANIFEST, config, layers, annotations }
    const bytes = Buffer.from(JSON.stringify(document))
    await this.#send('PUT', `${this.#url}/v2/${repository}/manifests/${tag}`, bytes, IMAGE_MANIFEST)
    return {
      repository,
      tag,
      manifest: digestOf(bytes),
      layer: layer.digest,
      layers: layers.map(({ digest }) => digest),
      config: config.digest,
      layerBytes,
    }
  }

  pushLayer(size: number): Promise<Descriptor> {
    return this.#pushBlob(REPOSITORY, randomBytes(size), LAYER)
  }

  async #pushBlob(repository: string, bytes: Bytes, mediaType: string): Promise<Descriptor> {
    const digest = digestOf(bytes)
    const begun = await this.#send('POST', `${this.#url}/v2/${repository}/blobs/uploads/`)
    const location = new URL(begun.headers.get('location') ?? '', this.#url)
    location.searchParams.set('digest', digest)
    await this.#send('PUT', location.href, bytes, 'application/octet-stream')
    return { mediaType, digest, size: bytes.length }
  }

  async #send(method: string, url: string, body?: Bytes, type?: string): Promise<Response> {
    const response = await fetch(url, {
      method,
      ...(body !== undefined && { body }),
      ...(type !== undefined && { headers: { 'content-type': type } }),
    })
    if (!response.ok) throw new Error(`${method} ${url}: ${response.status}`)
    await response.arrayBuffer()
    return response
  }
}

function imageConfig(tag: string): Bytes {
  return Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', created_by: tag }))
}

function randomBytes(size: number): Bytes {
  return randomFillSync(new Uint8Array(size))
}
