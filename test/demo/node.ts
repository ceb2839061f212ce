import { createHash } from 'node:crypto'
import { Agent, type IncomingMessage } from 'node:http'

import { parseManifest } from '../../src/oci/manifest.ts'
import { open } from '../support/http-client.ts'

export interface ImageName {
  /** As in `?ns=`. */
  readonly registry: string
  readonly repository: string
  readonly tag: string
}

/** What a pull came to when it failed: a status that is not 200, or bytes that are not the digest's. */
export class PullError extends Error {
  override readonly name = 'PullError'
}

/** A cluster node whose runtime has Larder as its mirror. It checks what it gets and keeps nothing. */
export class Node {
  readonly #mirror: string
  readonly #signal: AbortSignal
  readonly #connections = new Agent({ keepAlive: true })
  #received = 0

  /** @param mirror origin of the mirror's registry API */
  constructor(mirror: string, signal: AbortSignal) {
    this.#mirror = mirror
    this.#signal = signal
  }

  /** Bytes of all bodies so far. */
  get receivedBytes(): number {
    return this.#received
  }

  /**
   * Pulls in containerd's order: HEAD the tag, GET index and manifest by digest, then config and
   * layers at once.
   *
   * @throws {PullError}
   */
  async pull(name: ImageName): Promise<void> {
    try {
      const tagged = await this.#resolve(name)
      const index = await this.#getManifest(name, tagged)
      const mine = index.manifests.find(({ platform }) => platform?.architecture === 'amd64')
      if (mine === undefined) throw new PullError('the index has no manifest for amd64')
      const { blobs } = await this.#getManifest(name, mine.digest)
      await Promise.all(blobs.map(({ digest }) => this.#getBlob(name, digest)))
    } finally {
      this.#connections.destroy()
    }
  }

  async #resolve(name: ImageName): Promise<string> {
    const response = await this.#ask('HEAD', name, 'manifests', name.tag)
    response.resume()
    const digest = response.headers['docker-content-digest']
    if (typeof digest !== 'string') throw new PullError(`no digest for tag ${name.tag}`)
    return digest
  }

  async #getManifest(name: ImageName, digest: string) {
    const response = await this.#ask('GET', name, 'manifests', digest)
    const bytes = Buffer.concat(await Array.fromAsync(this.#verified(response, digest)))
    return parseManifest(bytes, response.headers['content-type'])
  }

  async #getBlob(name: ImageName, digest: string): Promise<void> {
    const response = await this.#ask('GET', name, 'blobs', digest)
    for await (const _chunk of this.#verified(response, digest)) {
      // A node would unpack it; here what counts is that it arrived and is right.
    }
  }

  async *#verified(body: AsyncIterable<Buffer>, digest: string): AsyncGenerator<Buffer> {
    const hash = createHash('sha256')
    for await (const chunk of body) {
      hash.update(chunk)
      this.#received += chunk.length
      yield chunk
    }
    const actual = `sha256:${hash.digest('hex')}`
    if (actual !== digest) throw new PullError(`asked for ${digest} and got ${actual}`)
  }

  async #ask(
    method: string,
    { registry, repository }: ImageName,
    kind: 'manifests' | 'blobs',
    reference: string,
  ): Promise<IncomingMessage> {
    const path = `/v2/${repository}/${kind}/${reference}?ns=${registry}`
    const options = { method, agent: this.#connections, signal: this.#signal }
    const response = await open(this.#mirror, path, options)
    if (response.statusCode === 200) return response
    response.destroy()
    throw new PullError(`${method} ${path} was answered ${response.statusCode}`)
  }
}
