import { digestOf } from '../../src/oci/digest.ts'
import { childrenOf, parseManifest } from '../../src/oci/manifest.ts'
import { send } from '../support/http-client.ts'
import { type LogLine, startLarder } from '../support/larder.ts'
import type { Promises } from './promises.ts'
import { UPSTREAM } from './site.ts'

export interface ServedOffline {
  /** Answers. */
  readonly served: number
  /** One line for each promise that is broken. */
  readonly violations: readonly string[]
}

/**
 * Starts the program itself on what a loss of power has left, without a network: whatever is
 * acknowledged of a tag and below it has to be served all the same, by its right bytes.
 */
export async function serveOffline(dataDir: string, promises: Promises): Promise<ServedOffline> {
  const violations: string[] = []
  const upstream = { name: UPSTREAM, url: 'http://127.0.0.1:9', access: 'public', default: true }
  const options = { dataDir, upstreams: [upstream], storage: { minFree: '0%' }, offline: true }
  let served = 0
  try {
    await using larder = await startLarder(options)
    const { status, body } = await send(larder.adminUrl, '/readyz')
    if (status !== 200) violations.push(`it is not ready: ${body}`)
    violations.push(
      ...larder
        .logs()
        .filter(isComplaint)
        .map((line) => JSON.stringify(line)),
    )
    for (const [name, digest] of acknowledgedTags(promises)) {
      const [, repository = '', tag = ''] = /^[^/]+\/(.+):(.+)$/.exec(name) ?? []
      const pull = new OfflinePull(larder.url, `/v2/${repository}`, promises)
      violations.push(...(await pull.manifest(tag, digest)))
      served += pull.served
    }
  } catch (error) {
    violations.push(`the program does not start: ${error}`)
  }
  return { served, violations }
}

/** Of a tag and of all below it that is acknowledged; each method says what is wrong. */
class OfflinePull {
  served = 0
  readonly #origin: string
  readonly #path: string
  readonly #promises: Promises

  constructor(origin: string, path: string, promises: Promises) {
    this.#origin = origin
    this.#path = path
    this.#promises = promises
  }

  async manifest(reference: string, digest: string): Promise<readonly string[]> {
    const { status, body } = await this.#get(`manifests/${reference}`)
    const wrong = this.#judge(reference, status, body, digest)
    if (wrong.length > 0) return wrong
    const found: string[] = []
    for (const child of childrenOf(parseManifest(body, undefined))) {
      if (!this.#promises.blobs.has(child.digest)) continue
      const isManifest = child.kind === 'manifest'
      const { digest } = child
      found.push(...(await (isManifest ? this.manifest(digest, digest) : this.#blob(digest))))
    }
    return found
  }

  async #blob(digest: string): Promise<readonly string[]> {
    const { status, body } = await this.#get(`blobs/${digest}`)
    return this.#judge(digest, status, body, digest)
  }

  #judge(what: string, status: number, body: Buffer, digest: string): readonly string[] {
    const name = `${this.#path} ${what}`
    if (status !== 200) return [`${name} is answered with ${status}: ${body}`]
    if (digestOf(body) !== digest) return [`${name} is answered with other bytes`]
    this.served++
    return []
  }

  #get(path: string) {
    return send(this.#origin, `${this.#path}/${path}`)
  }
}

function* acknowledgedTags({ tags, blobs }: Promises): Generator<[name: string, digest: string]> {
  for (const [name, { may }] of tags) {
    const [digest] = may
    const isKnown = may.size === 1 && digest !== undefined && digest !== null
    if (isKnown && digest !== 'pattern' && blobs.has(digest)) yield [name, digest]
  }
}

/** pino's numbers: 40 is a warning. */
function isComplaint({ level }: LogLine): boolean {
  return typeof level === 'number' ? level >= 40 : /warn|error|fatal/.test(String(level))
}
