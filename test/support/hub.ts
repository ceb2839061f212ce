import type { Digest } from '../../src/oci/digest.ts'
import { EMPTY_SHA256 } from '../../src/oci/digest.ts'
import { startTestApp, type TestApp, type TestAppOptions, type TestUpstream } from './app.ts'
import { FaultRegistry, type FaultRegistryOptions } from './fault-registry.ts'
import { buildImage, buildIndex, type Content, type Image, seededBytes } from './images.ts'

/** A registry called docker.io with `library/app:v1`, and Larder in front of it. */
export interface Hub extends AsyncDisposable {
  readonly registry: FaultRegistry
  readonly app: TestApp
  /** The tag `v1`. */
  readonly index: Content
  /** In the index; its layers are `blob` and the empty blob. */
  readonly image: Image
  /** The tag `docker`. */
  readonly dockerList: Content
  /** The tag `sha512`. */
  readonly sha512: Image
  readonly blob: { readonly digest: Digest; readonly bytes: Buffer }
}

export interface HubOptions {
  readonly registry?: FaultRegistryOptions
  readonly upstream?: Partial<TestUpstream>
  readonly app?: Partial<TestAppOptions>
}

export const EMPTY_BLOB = EMPTY_SHA256
export const APP = '/v2/library/app'

export async function startHub(options: HubOptions = {}): Promise<Hub> {
  const registry = await new FaultRegistry(options.registry).start()
  const bytes = seededBytes('blob', 2048)
  const image = buildImage({ seed: 'app', layers: [bytes, Buffer.alloc(0)] })
  const arm = { architecture: 'arm64', os: 'linux' }
  const index = buildIndex([image, buildImage({ seed: 'arm', platform: arm })])
  const dockerList = buildIndex([buildImage({ seed: 'docker', mediaTypes: 'docker' })], {
    mediaTypes: 'docker',
  })
  const sha512 = buildImage({ seed: 'sha512', algorithm: 'sha512' })
  registry.add('library/app', index, 'v1')
  registry.add('library/app', dockerList, 'docker')
  registry.add('library/app', sha512, 'sha512')
  const upstream = { name: 'docker.io', url: registry.origin, default: true, ...options.upstream }
  const app = await startTestApp({ upstreams: [upstream], ...options.app }).catch(async (error) => {
    await registry.close()
    throw error
  })
  const [layer] = image.layers
  if (layer === undefined) throw new Error('the image has no layer')
  return {
    registry,
    app,
    index,
    image,
    dockerList,
    sha512,
    blob: { digest: layer.digest, bytes },
    async [Symbol.asyncDispose]() {
      await app.close()
      await registry.close()
    },
  }
}

/** The first code of the specification's error body. */
export function codeOf({ body }: { readonly body: Buffer }): string | undefined {
  const { errors } = JSON.parse(body.toString()) as { errors: { code: string }[] }
  return errors[0]?.code
}
