/** A pull through Larder itself, as a node would make one: manifest, platform, config. */
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { parseManifest } from '../../oci/manifest.ts'
import { formatReference, type ImageReference, type Reference } from '../../oci/reference.ts'
import { ask } from '../ask.ts'

const MAX_TRIES = 32
/** What Larder answers when it is offline, and in an outage. */
const NOT_HERE = 504

/** What went wrong with a pull; its message is for an operator. */
export class OwnPullError extends Error {
  override readonly name = 'OwnPullError'
  readonly status: number | undefined

  constructor(message: string, status?: number) {
    super(message)
    this.status = status
  }
}

/**
 * Pulls an image's manifest, that of its first platform that is there, and its config, and compares
 * each with its digest.
 *
 * @returns the digest of what the image is
 * @throws {OwnPullError} or what the system says
 */
export async function pullThrough(url: string, image: ImageReference): Promise<Digest> {
  const { digest, tag } = image
  const named: Reference | undefined =
    digest !== undefined
      ? { kind: 'digest', digest }
      : tag !== undefined
        ? { kind: 'tag', tag }
        : undefined
  if (named === undefined) throw new OwnPullError('no tag and no digest was named')
  const get = (kind: 'manifests' | 'blobs', reference: Reference) =>
    getContent(url, image, kind, reference)
  let manifest = await get('manifests', named)
  const top = manifest.digest
  const children = parseManifest(manifest.body, manifest.type).manifests
  if (children.length > 0) manifest = await firstThere(children, get)
  const [config] = parseManifest(manifest.body, manifest.type).blobs
  if (config !== undefined) await get('blobs', { kind: 'digest', digest: config.digest })
  return top
}

/** A site without a network may have been brought one platform of many. */
async function firstThere(
  children: readonly Descriptor[],
  get: (kind: 'manifests', reference: Reference) => ReturnType<typeof getContent>,
): ReturnType<typeof getContent> {
  let failure: unknown
  for (const { digest } of children.slice(0, MAX_TRIES)) {
    try {
      return await get('manifests', { kind: 'digest', digest })
    } catch (error) {
      failure ??= error
      if (!(error instanceof OwnPullError) || error.status !== NOT_HERE) break
    }
  }
  throw failure
}

async function getContent(
  url: string,
  { registry, repository }: ImageReference,
  kind: 'manifests' | 'blobs',
  reference: Reference,
) {
  const name = formatReference(reference)
  const path = `/v2/${repository}/${kind}/${name}?ns=${encodeURIComponent(registry)}`
  const { status, headers, body } = await ask(url, path)
  const what = `${kind === 'manifests' ? 'manifest' : 'config'} ${name}`
  if (status !== 200)
    throw new OwnPullError(`${what} was answered with ${status}${told(body)}`, status)
  const digest = digestOf(body, name.startsWith('sha512:') ? 'sha512' : 'sha256')
  if (reference.kind === 'digest' && digest !== reference.digest) {
    throw new OwnPullError(`${what} came with other bytes than its digest says`)
  }
  return { digest, body, type: headers['content-type'] }
}

/** What the registry API says of an error. */
function told(body: Buffer): string {
  try {
    const { errors } = JSON.parse(body.toString()) as { errors?: { message?: unknown }[] }
    const message = errors?.[0]?.message
    return typeof message === 'string' ? `: ${message}` : ''
  } catch {
    return ''
  }
}
