import { type Digest, isDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { type Manifest, parseManifest } from '../../oci/manifest.ts'
import { BUNDLE_FILE, type Bundle, bundleIdOf, MAX_BUNDLE_BYTES, parseBundle } from './bundle.ts'
import { type DockerImage, parseDockerImages } from './docker-archive.ts'
import { ArchiveError } from './errors.ts'
import type { Intake, TakenContent } from './intake.ts'
import { INDEX_FILE, LAYOUT_FILE } from './layout.ts'
import { readEntries, type TarEntry } from './tar-entries.ts'

/** What an archive says of itself, once all of it was read. */
export interface Archive {
  /** It was made by Larder. */
  readonly bundle: { readonly id: Digest; readonly content: Bundle } | undefined
  /** `index.json` of an OCI image layout. */
  readonly index: Manifest | undefined
  /** `manifest.json`, as `docker save` writes it. */
  readonly docker: readonly DockerImage[] | undefined
  /** What has a name of its own, and no digest for one. */
  readonly files: ReadonlyMap<string, TakenContent>
  /** Other names of such files. */
  readonly links: ReadonlyMap<string, string>
}

const DOCKER_FILE = 'manifest.json'
const MAX_INDEX_BYTES = 20 * 1024 * 1024
const MAX_DOCKER_BYTES = 4 * 1024 * 1024
const MAX_LAYOUT_BYTES = 4 * 1024

/** image-spec v1.1 image-layout.md "Filesystem Layout". */
const BLOB = /^blobs\/(sha256|sha512)\/([0-9a-f]+)$/
/** Layers and configurations of a classic Docker archive, by all who write one. */
const DOCKER_CONTENT = /\.tar(?:\.gz)?$|^[^/]+\.json$|^sha256:[0-9a-f]{64}$/

/**
 * Reads an archive to its end: contents go into the store, what describes them is given back.
 *
 * @param body a plain tar
 * @throws {ArchiveError} it is damaged, or made to do harm
 */
export async function readArchive(
  body: AsyncIterable<Uint8Array>,
  intake: Intake,
  onBundle: (bundle: Bundle) => Promise<void>,
): Promise<Archive> {
  const reader = new ArchiveReader(intake, onBundle)
  for await (const entry of readEntries(body)) await reader.read(entry)
  await intake.settle()
  return reader.archive
}

class ArchiveReader {
  readonly #intake: Intake
  readonly #onBundle: (bundle: Bundle) => Promise<void>
  readonly #files = new Map<string, TakenContent>()
  readonly #links = new Map<string, string>()
  #bundle: Archive['bundle']
  /** Of a bundle: what it says it has. Nothing else of it is taken. */
  #listed: ReadonlySet<Digest> | undefined
  #index: Manifest | undefined
  #docker: readonly DockerImage[] | undefined
  #isLayout = false

  constructor(intake: Intake, onBundle: (bundle: Bundle) => Promise<void>) {
    this.#intake = intake
    this.#onBundle = onBundle
  }

  get archive(): Archive {
    if (this.#isLayout && this.#index === undefined) {
      throw new ArchiveError(`the archive is an image layout without its ${INDEX_FILE}`)
    }
    return {
      bundle: this.#bundle,
      index: this.#index,
      docker: this.#docker,
      files: this.#files,
      links: this.#links,
    }
  }

  async read(entry: TarEntry): Promise<void> {
    const { name, target } = entry
    if (target !== undefined) {
      this.#links.set(name, target)
      return
    }
    switch (name) {
      case BUNDLE_FILE:
        return this.#readBundle(await bytesOf(entry, MAX_BUNDLE_BYTES))
      case INDEX_FILE:
        this.#index = parseIndex(await bytesOf(entry, MAX_INDEX_BYTES))
        return
      case LAYOUT_FILE:
        requireLayout(await bytesOf(entry, MAX_LAYOUT_BYTES))
        this.#isLayout = true
        return
      case DOCKER_FILE:
        this.#docker = parseDockerImages(await bytesOf(entry, MAX_DOCKER_BYTES))
        return
      default:
        return this.#readContent(entry)
    }
  }

  async #readBundle(bytes: Buffer): Promise<void> {
    const content = parseBundle(bytes)
    this.#bundle = { id: bundleIdOf(bytes), content }
    this.#listed = new Set(content.blobs.map(({ digest }) => digest))
    await this.#onBundle(content)
  }

  /** What is not known is left where it is: a layout may have more in it than the specification says. */
  async #readContent(entry: TarEntry): Promise<void> {
    const [, algorithm, hex] = BLOB.exec(entry.name) ?? []
    const digest = `${algorithm}:${hex}`
    if (isDigest(digest)) {
      if (this.#listed?.has(digest) ?? true) await this.#intake.take(entry, digest)
    } else if (!this.#isLayout && DOCKER_CONTENT.test(entry.name)) {
      this.#files.set(entry.name, await this.#intake.identify(entry))
    }
  }
}

async function bytesOf({ name, size, content }: TarEntry, most: number): Promise<Buffer> {
  if (size > most) {
    throw new ArchiveError(
      `the archive has a ${name} of ${size} bytes: no more than ${most} are read`,
    )
  }
  const pieces: Buffer[] = []
  for await (const bytes of content) pieces.push(bytes)
  return Buffer.concat(pieces)
}

function parseIndex(bytes: Buffer): Manifest {
  try {
    return parseManifest(bytes, undefined, MAX_INDEX_BYTES)
  } catch (cause) {
    if (!(cause instanceof RegistryError)) throw cause
    throw new ArchiveError(`${INDEX_FILE} cannot be used: ${cause.message}`, { cause })
  }
}

function requireLayout(bytes: Buffer): void {
  // image-spec v1.1 image-layout.md "oci-layout file".
  const version = /"imageLayoutVersion"\s*:\s*"([^"]{0,32})"/.exec(bytes.toString())?.[1]
  if (version?.startsWith('1.')) return
  throw new ArchiveError(
    `the archive is an image layout of a version that is not known: ${version}`,
  )
}
