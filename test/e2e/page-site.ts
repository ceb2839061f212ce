/** A Larder that has something to show: two registries, dozens of images, and pulls of them. */
import { FaultRegistry } from '../support/fault-registry.ts'
import { send } from '../support/http-client.ts'
import { buildArtifact, buildImage, buildIndex, type Content } from '../support/images.ts'
import { type LarderOptions, type RunningLarder, startLarder } from '../support/larder.ts'

/** What would be seen of itself if it ever became markup. */
export const HOSTILE = '<img src=x onerror="window.hacked=1"><b>bold</b>'
/** One of those that are pulled. */
export const NGINX = 'reg.test/library/nginx:v1.0.0'
const ARM = { architecture: 'arm64', os: 'linux' }
const REPOSITORIES = [
  'library/nginx',
  'library/redis',
  'library/postgres',
  'grafana/grafana',
  'acme/checkout',
  'acme/billing-worker',
  'platform/very-long-names/for-a-repository/that-somebody-had-to-type/component',
]
const TAGS = ['v1.0.0', 'v1.1.0', 'v2.0.0-rc.1', 'latest']

export interface PageSiteOptions {
  readonly larder?: Partial<LarderOptions>
  /** How many images are pulled before anyone looks. */
  readonly pulls?: number
}

export class PageSite implements AsyncDisposable {
  readonly registry: FaultRegistry
  readonly larder: RunningLarder

  static async start({ larder: options = {}, pulls = 0 }: PageSiteOptions = {}): Promise<PageSite> {
    const registry = await new FaultRegistry().start()
    try {
      const larder = await startLarder({
        upstreams: [
          { name: 'reg.test', url: registry.origin, default: true },
          { name: 'dead.test', url: 'http://127.0.0.1:9', limits: { connectTimeout: '1s' } },
        ],
        ...options,
      })
      const site = new PageSite(registry, larder)
      await site.#fill(pulls)
      return site
    } catch (error) {
      await registry.close()
      throw error
    }
  }

  private constructor(registry: FaultRegistry, larder: RunningLarder) {
    this.registry = registry
    this.larder = larder
  }

  get url(): string {
    return this.larder.adminUrl
  }

  /** All of it, as a node pulls it. */
  async pull(repository: string, content: Content, reference?: string): Promise<void> {
    const headers = { 'User-Agent': 'containerd/v2.0.1' }
    const name = reference ?? content.manifest.digest
    const ask = (path: string) =>
      send(this.larder.url, `/v2/${repository}/${path}?ns=reg.test`, { headers })
    const { status, body } = await ask(`manifests/${name}`)
    if (status !== 200) throw new Error(`${repository}:${name}: ${status} ${body}`)
    if (content.children.length > 0) {
      for (const child of content.children) await this.pull(repository, child)
      return
    }
    for (const digest of content.blobs.keys()) await ask(`blobs/${digest}`)
  }

  async ask(path: string) {
    const { status, body } = await send(this.url, `/api/v1${path}`)
    return { status, body: JSON.parse(body.toString()) }
  }

  /** Puts images into the registry, and has as many of them pulled, the first ones more often. */
  async #fill(pulls: number): Promise<void> {
    const shared = buildImage({ seed: 'base', layers: [300_000] })
    let left = pulls
    for (const repository of REPOSITORIES) {
      for (const tag of TAGS) {
        const seed = `${repository}:${tag}`
        const amd = buildImage({ seed, layers: [60_000, 4_000] })
        const arm = buildImage({ seed: `${seed}/arm`, platform: ARM, layers: [50_000] })
        const content = tag === 'latest' ? buildIndex([amd, arm, shared]) : amd
        this.registry.content.add(repository, content, tag)
        if (left-- <= 0) continue
        for (let times = (left % 5) + 1; times > 0; times--)
          await this.pull(repository, content, tag)
      }
    }
    if (pulls === 0) return
    await send(this.larder.url, '/v2/a/b/manifests/v1?ns=dead.test')
    await this.#addHostile()
  }

  /** What a stranger may put where an operator reads it. */
  async #addHostile(): Promise<void> {
    const annotations = { 'org.opencontainers.image.title': HOSTILE, [HOSTILE]: 'as a key' }
    const image = buildImage({ seed: 'hostile', annotations })
    this.registry.content.add('evil/image', image, 'v1')
    const signature = buildArtifact({
      seed: 's',
      artifactType: `text/${HOSTILE}`,
      subject: image.descriptor,
    })
    this.registry.content.add('evil/image', signature)
    await this.pull('evil/image', image, 'v1')
    await this.pull('evil/image', signature)
    await send(this.larder.url, `/v2/evil/image/manifests/v1?ns=reg.test`, {
      headers: { 'User-Agent': HOSTILE },
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.larder.close()
    await this.registry.close()
  }
}
