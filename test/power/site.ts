import assert from 'node:assert/strict'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'

import { type App, startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createLogger } from '../../src/log.ts'
import { algorithmOf, type Digest, digestOf, encodedOf } from '../../src/oci/digest.ts'
import { childrenOf, parseManifest } from '../../src/oci/manifest.ts'
import type { FaultRegistry } from '../support/fault-registry.ts'
import { send } from '../support/http-client.ts'
import type { Content } from '../support/images.ts'
import type { Witness } from './witness.ts'

export const UPSTREAM = 'docker.io'
const NO_PROXY = { httpsProxy: undefined, httpProxy: undefined, noProxy: undefined }
const HEADERS = { 'content-type': 'application/json' }

export interface SiteOptions {
  /** Where the folder `disk` is, whose history is recorded. */
  readonly path: string
  readonly registry: FaultRegistry
  readonly witness: Witness
}

/** What a workload does to Larder, and what it may rely on afterwards. */
export class Site {
  readonly registry: FaultRegistry
  readonly witness: Witness
  readonly dataDir: string
  readonly #configFile: string
  #app: App | undefined

  constructor({ path, registry, witness }: SiteOptions) {
    this.registry = registry
    this.witness = witness
    this.dataDir = join(path, 'disk', 'data')
    this.#configFile = join(path, 'larder.yaml')
  }

  async start(maxSize = '1GiB'): Promise<void> {
    await this.#configure(maxSize)
    const options = { file: this.#configFile, env: {}, cwd: '/' }
    const loaded = await loadConfig(options)
    const { config, file, stamp } = loaded
    // What is logged below errors is of no interest.
    const logger = createLogger(config.log)
    const source = { load: () => loadConfig(options), file, stamp }
    const version = '0.0.0-test'
    this.#app = await startApp({ config, source, logger, version, proxyEnvironment: NO_PROXY })
  }

  async stop(): Promise<void> {
    await this.#app?.close()
    this.#app = undefined
  }

  /** Pulls all of it, as a node does, and waits until it is stored. */
  async pull(repository: string, tag: string): Promise<void> {
    const manifest = await this.#pullManifest(repository, tag)
    await this.witness.stored(manifest)
  }

  /** A GET that may be given up. */
  async get(path: string): Promise<Buffer> {
    const { status, body } = await send(this.#running.registryUrl, path)
    assert.equal(status, 200, `${path}: ${body.subarray(0, 300)}`)
    return body
  }

  async pin(name: string, content: Content, follow = false): Promise<void> {
    const { digest } = content.manifest
    this.witness.begins('pin', name, digest)
    await this.admin('POST', '/pins', { references: [name], ...(follow ? { follow } : {}) })
    this.witness.isDone('pin', name, digest, digestsOf(content))
  }

  async pinPattern(pattern: string): Promise<void> {
    this.witness.begins('pin', pattern, 'pattern')
    await this.admin('POST', '/pins', { pattern })
    this.witness.isDone('pin', pattern, 'pattern')
  }

  async unpin(name: string): Promise<void> {
    this.witness.begins('pin', name, null)
    await this.admin('DELETE', `/pins?reference=${encodeURIComponent(name)}`)
    this.witness.isDone('pin', name, null)
  }

  async unpinPattern(pattern: string): Promise<void> {
    this.witness.begins('pin', pattern, null)
    await this.admin('DELETE', `/pins?pattern=${encodeURIComponent(pattern)}`)
    this.witness.isDone('pin', pattern, null)
  }

  /** Once the pin has followed its tag. */
  async followed(name: string, content: Content): Promise<void> {
    for (;;) {
      const { pins } = JSON.parse((await this.admin('GET', '/pins')).toString()) as {
        readonly pins: readonly { readonly name: string; readonly digest?: string }[]
      }
      const { digest } = content.manifest
      if (!pins.some((pin) => pin.name === name && pin.digest === digest)) continue
      return this.witness.isDone('pin', name, digest, digestsOf(content))
    }
  }

  async purge(name: string): Promise<void> {
    this.witness.begins('tag', name, null)
    await this.admin('POST', '/purge', { references: [name] })
    this.witness.isDone('tag', name, null)
  }

  async reload(maxSize: string): Promise<void> {
    await this.#configure(maxSize)
    await this.admin('POST', '/reload', {})
  }

  /** Turns a byte over behind Larder's back. */
  async damage(digest: Digest): Promise<void> {
    this.witness.damaged(digest)
    const hex = encodedOf(digest)
    const path = join(this.dataDir, 'blobs', algorithmOf(digest), hex.slice(0, 2), hex)
    const file = await open(path, 'r+')
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, 0)
    byte[0] = 255 - (byte[0] ?? 0)
    await file.write(byte, 0, 1, 0)
    await file.close()
  }

  async admin(method: string, path: string, body?: object): Promise<Buffer> {
    const content = {
      headers: HEADERS,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }
    const url = this.#running.adminUrl
    const answer = await send(url, `/api/v1${path}`, { method, ...content })
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.body}`)
    return answer.body
  }

  async #pullManifest(repository: string, reference: string): Promise<Digest[]> {
    const path = `/v2/${repository}`
    const bytes = await this.get(`${path}/manifests/${reference}`)
    const children = childrenOf(parseManifest(bytes, undefined))
    const pulled = children.map(async ({ digest, kind }) => {
      if (kind === 'manifest') return this.#pullManifest(repository, digest)
      assert.equal(digestOf(await this.get(`${path}/blobs/${digest}`)), digest)
      return [digest]
    })
    return [digestOf(bytes), ...(await Promise.all(pulled)).flat()]
  }

  get #running(): App {
    if (this.#app === undefined) throw new Error('it is not running')
    return this.#app
  }

  async #configure(maxSize: string): Promise<void> {
    const listeners = { listen: '127.0.0.1:0', adminListen: '127.0.0.1:0', drainTimeout: '1s' }
    const upstream = { name: UPSTREAM, url: this.registry.origin, access: 'public', default: true }
    const document = {
      version: 1,
      server: listeners,
      storage: { path: this.dataDir, maxSize, minFree: '0%' },
      log: { level: 'error' },
      upstreams: [upstream],
    }
    await writeFile(this.#configFile, stringify(document))
  }
}

/** Of a manifest and all that it reaches. */
export function digestsOf(content: Content): Digest[] {
  const children = content.children.flatMap(digestsOf)
  return [content.manifest.digest, ...content.blobs.keys(), ...children]
}
