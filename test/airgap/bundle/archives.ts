/** Archives of images, good and bad, as tools and attackers make them. */
import { createHash } from 'node:crypto'

import {
  BUNDLE_FILE,
  type Bundle,
  type BundledBlob,
  type BundledImage,
  formatBundle,
} from '../../../src/airgap/bundle/bundle.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import type { Repository, Tag } from '../../../src/oci/reference.ts'
import { type Content, seededBytes } from '../../support/images.ts'

const BLOCK = 512

/** An entry of a tar, as it is: nothing of it is checked. */
export interface Entry {
  readonly name: string
  readonly content?: Buffer | string
  /** The type flag of ustar; default: a file. */
  readonly type?: string
  readonly target?: string
  /** What the header says; default: what is right. */
  readonly size?: number
  readonly hasWrongChecksum?: boolean
}

/** A tar of `entries`, with its end. */
export function tarOf(entries: readonly Entry[]): Buffer {
  return Buffer.concat([...entries.map(entryOf), Buffer.alloc(2 * BLOCK)])
}

export function entryOf(entry: Entry): Buffer {
  const content = Buffer.from(entry.content ?? '')
  return Buffer.concat([headerOf(entry), content, Buffer.alloc(-content.length & (BLOCK - 1))])
}

export function headerOf({ name, content = '', type = '0', target = '', ...lies }: Entry): Buffer {
  const block = Buffer.alloc(BLOCK)
  const size = lies.size ?? Buffer.from(content).length
  block.write(name, 0, 100)
  block.write('0000644\0', 100)
  block.write('0000000\0', 108)
  block.write('0000000\0', 116)
  if (size < 0) block.fill(0xff, 124, 135).fill(0xf0, 135, 136)
  else block.write(size.toString(8).padStart(11, '0'), 124)
  block.write('00000000000', 136)
  block.write(' '.repeat(8), 148)
  block.write(type, 156)
  block.write(target, 157, 100)
  block.write('ustar\x0000', 257)
  const sum = block.reduce((total, byte) => total + byte, 0) + (lies.hasWrongChecksum ? 1 : 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

/** What `image` is called in an `index.json`. */
export interface Named {
  readonly image: Content
  readonly annotations?: Readonly<Record<string, string>>
}

export const LAYOUT: Entry = { name: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' }

/** The contents of images, each once, by digest. */
export function blobsOf(images: readonly Content[]): Map<Digest, Buffer> {
  const blobs = new Map<Digest, Buffer>()
  for (const image of images) {
    blobs.set(image.manifest.digest, image.manifest.bytes)
    for (const child of image.children) blobs.set(child.manifest.digest, child.manifest.bytes)
    for (const [digest, bytes] of image.blobs) blobs.set(digest, bytes)
  }
  return new Map([...blobs].sort(([one], [other]) => (one < other ? -1 : 1)))
}

export function blobEntries(blobs: ReadonlyMap<Digest, Buffer>): Entry[] {
  return [...blobs].map(([digest, content]) => ({
    name: `blobs/${digest.replace(':', '/')}`,
    content,
  }))
}

export function indexEntry(named: readonly Named[]): Entry {
  const manifests = named.map(({ image, annotations }) => ({ ...image.descriptor, annotations }))
  return { name: 'index.json', content: JSON.stringify({ schemaVersion: 2, manifests }) }
}

/** As `skopeo copy … oci-archive:` and `ctr image export` write it. */
export function layoutOf(named: readonly Named[]): Entry[] {
  const blobs = blobsOf(named.map(({ image }) => image))
  return [LAYOUT, indexEntry(named), ...blobEntries(blobs)]
}

export function fullName(name: string): Readonly<Record<string, string>> {
  return { 'io.containerd.image.name': name }
}

export interface BundleImage {
  readonly image: Content
  readonly repository?: string
  readonly tag?: string
  readonly isPublic?: boolean
  readonly checkedAt?: number
}

export interface BundleOptions {
  readonly base?: Bundle['base']
  /** Not in the archive, because the base has them. */
  readonly without?: ReadonlySet<Digest>
  readonly platforms?: Bundle['platforms']
}

export const REGISTRY = 'reg.test'

/** As `larder export` writes it. */
export function bundleOf(images: readonly BundleImage[], options: BundleOptions = {}): Entry[] {
  const { base, without = new Set() } = options
  const blobs = blobsOf(images.map(({ image }) => image))
  const manifests = new Set(
    images.flatMap(({ image }) =>
      [image, ...image.children].map(({ manifest }) => manifest.digest),
    ),
  )
  const bundle: Bundle = {
    createdBy: 'larder test',
    contentAt: Math.max(...images.map(({ checkedAt = 0 }) => checkedAt)),
    images: images.map(bundled),
    platforms: options.platforms ?? 'all',
    blobs: [...blobs].map(
      ([digest, { length: size }]): BundledBlob => ({
        digest,
        size,
        kind: manifests.has(digest) ? 'manifest' : 'blob',
      }),
    ),
    ...(base === undefined ? {} : { base }),
  }
  const here = new Map([...blobs].filter(([digest]) => !without.has(digest)))
  const named = images.map(({ image }) => ({ image }))
  const file: Entry = { name: BUNDLE_FILE, content: formatBundle(bundle) }
  return [file, LAYOUT, indexEntry(named), ...blobEntries(here)]
}

function bundled({ image, repository, tag, isPublic, checkedAt }: BundleImage): BundledImage {
  const { digest, mediaType, bytes } = image.manifest
  return {
    registry: REGISTRY,
    repository: (repository ?? 'team/app') as Repository,
    ...(tag === undefined ? {} : { tag: tag as Tag }),
    digest,
    mediaType,
    size: bytes.length,
    isPublic: isPublic ?? true,
    checkedAt: checkedAt ?? 0,
  }
}

/** What `docker save` of the time before 2024 wrote. */
export interface DockerSaved {
  readonly entries: Entry[]
  readonly layers: readonly Buffer[]
  readonly config: Buffer
}

/** Two layers, the second of which is the first again, as a link. */
export function dockerSave(tags: readonly string[] | null, seed = 'saved'): DockerSaved {
  const layer = seededBytes(seed, 40_000)
  const diffId = digestOf(layer)
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [diffId, diffId] },
    }),
  )
  const id = (text: string) => createHash('sha256').update(`${seed}${text}`).digest('hex')
  const [first, second] = [id('1'), id('2')]
  const configName = `${digestOf(config).slice('sha256:'.length)}.json`
  const manifest = [
    { Config: configName, RepoTags: tags, Layers: [`${first}/layer.tar`, `${second}/layer.tar`] },
  ]
  const entries: Entry[] = [
    { name: `${first}/`, type: '5' },
    { name: `${first}/VERSION`, content: '1.0' },
    { name: `${first}/json`, content: '{}' },
    { name: `${first}/layer.tar`, content: layer },
    { name: `${second}/`, type: '5' },
    { name: `${second}/layer.tar`, type: '2', target: `../${first}/layer.tar` },
    { name: configName, content: config },
    { name: 'manifest.json', content: JSON.stringify(manifest) },
    { name: 'repositories', content: '{}' },
  ]
  return { entries, layers: [layer, layer], config }
}
