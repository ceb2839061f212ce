import { type Digest, digestOf } from '../../src/oci/digest.ts'
import type { Child } from '../../src/oci/manifest.ts'
import { OCI_MANIFEST } from '../../src/oci/media-types.ts'
import { parseRepository, type Repository, type Tag } from '../../src/oci/reference.ts'
import type { ManifestRecord } from '../../src/store/ports.ts'

const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json'
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip'

/** Of its own, for each image: its config and four layers. */
export const OWN_BLOBS = 5
/** One of these is the lowest layer of each image. */
const BASES = 50
const TAGS_PER_REPOSITORY = 20

/** Bytes, and their name. */
export interface Piece {
  readonly digest: Digest
  readonly bytes: Buffer
}

export interface Image {
  readonly repository: Repository
  readonly tag: Tag
  readonly manifest: Piece
  readonly record: ManifestRecord
  readonly children: readonly Child[]
  /** The config, then the layers that no other image has. */
  readonly own: readonly Piece[]
}

/** The layers that images share. */
export const SHARED: readonly Piece[] = Array.from({ length: BASES }, (_, i) =>
  pieceOf(`base ${i}`),
)

/** The image of that number: always the same bytes, few of them. */
export function imageOf(number: number): Image {
  const config = pieceOf(JSON.stringify({ architecture: 'amd64', os: 'linux', number }))
  const layers = Array.from({ length: OWN_BLOBS - 1 }, (_, layer) =>
    pieceOf(`layer ${layer} of image ${number}\n`.repeat(4)),
  )
  const base = SHARED[number % BASES]
  if (base === undefined) throw new RangeError(`image ${number}`)
  return composed(number, config, [base, ...layers])
}

function composed(number: number, config: Piece, layers: readonly Piece[]): Image {
  const described = (mediaType: string, { digest, bytes }: Piece) => ({
    mediaType,
    digest,
    size: bytes.length,
  })
  const annotations = { 'org.opencontainers.image.version': `1.${number}` }
  const document = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: described(CONFIG_TYPE, config),
    layers: layers.map((layer) => described(LAYER_TYPE, layer)),
    annotations,
  }
  const manifest = pieceOf(JSON.stringify(document))
  return {
    repository: parseRepository(`team/app-${Math.floor(number / TAGS_PER_REPOSITORY)}`),
    tag: `v${number % TAGS_PER_REPOSITORY}` as Tag,
    manifest,
    record: {
      digest: manifest.digest,
      mediaType: OCI_MANIFEST,
      size: manifest.bytes.length,
      subject: undefined,
      artifactType: CONFIG_TYPE,
      annotations,
    },
    children: [config, ...layers].map(({ digest, bytes }) => ({
      digest,
      size: bytes.length,
      kind: 'blob',
    })),
    own: [config, ...layers.slice(1)],
  }
}

function pieceOf(text: string): Piece {
  const bytes = Buffer.from(text)
  return { digest: digestOf(bytes), bytes }
}
