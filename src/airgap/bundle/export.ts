import type { Digest } from '../../oci/digest.ts'
import type { Leases } from '../../store/leases.ts'
import type { BlobStore } from '../../store/ports.ts'
import { Holds } from '../holds.ts'
import { BUNDLE_FILE, type Bundle, formatBundle } from './bundle.ts'
import type { ExportPlan } from './draft.ts'
import { ExportError } from './export-error.ts'
import { blobName, formatIndex, formatLayout, INDEX_FILE, LAYOUT_FILE } from './layout.ts'
import type { ExportRequest, Planner } from './plan.ts'
import { type TarFile, tarSize, writeTar } from './tar-writing.ts'
import { ReadBuffers, readVerified } from './verified-blob.ts'

export interface ExportOptions {
  readonly planner: Planner
  readonly blobs: Pick<BlobStore, 'open'>
  readonly leases: Pick<Leases, 'hold'>
  /** Told of what could not be read, or is something else: it is to be looked at, and put aside. */
  readonly examine: (digest: Digest) => Promise<void>
}

export interface ExportPreview extends ExportPlan {
  /** Of the plain tar. */
  readonly bytes: number
  /** What `larder-bundle.json` would say. */
  readonly document: object
}

/**
 * Images of the store as an OCI image layout in a plain tar: `larder-bundle.json`, `oci-layout`,
 * `index.json`, and contents in the order of their digests. What is the same gives the same bytes.
 */
export class Export {
  readonly #options: ExportOptions

  constructor(options: ExportOptions) {
    this.#options = options
  }

  /**
   * What {@link stream} would give. Reads and keeps nothing.
   *
   * @throws {ExportError} what was asked for is not possible
   */
  async preview(request: ExportRequest, signal: AbortSignal): Promise<ExportPreview> {
    const plan = await this.#options.planner.plan(request, signal)
    const document = JSON.parse(formatBundle(plan.bundle).toString()) as object
    return { ...plan, bytes: bundleTarSize(plan), document }
  }

  /**
   * A piece is what it is until the next one is asked for. Every content is hashed while it is read: of one that is damaged the last bytes never leave, and
   * the archive ends without its end. Nothing of it is removed from the store meanwhile.
   *
   * @throws {ExportError} before the first byte; not all that was asked for is here
   * @throws the signal's reason, and what reading fails with
   */
  async *stream(
    request: ExportRequest,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const holds = new Holds(this.#options.leases)
    try {
      const plan = await this.#options.planner.plan(request, signal, (one) => holds.hold(one))
      requireWhole(plan, request)
      for await (const piece of writeTar(this.#files(plan, signal))) {
        signal.throwIfAborted()
        yield piece
      }
    } finally {
      await holds.release()
    }
  }

  #files({ bundle, contents }: ExportPlan, signal: AbortSignal): TarFile[] {
    const buffers = new ReadBuffers()
    return [
      ...documentsOf(bundle).map(
        ([name, bytes]): TarFile => ({
          name,
          size: bytes.length,
          content: async function* () {
            yield bytes
          },
        }),
      ),
      ...contents.map(
        (content): TarFile => ({
          name: blobName(content.digest),
          size: content.size,
          content: () => this.#read(content, buffers, signal),
        }),
      ),
    ]
  }

  async *#read(
    content: ExportPlan['contents'][number],
    buffers: ReadBuffers,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    signal.throwIfAborted()
    try {
      yield* readVerified(this.#options.blobs, content, buffers)
    } catch (error) {
      await this.#options.examine(content.digest)
      throw error
    }
  }
}

/** Bytes of the archive that is made of a plan. */
export function bundleTarSize({
  bundle,
  contents,
}: Pick<ExportPlan, 'bundle' | 'contents'>): number {
  const documents = documentsOf(bundle).map(([, bytes]) => bytes.length)
  return tarSize([...documents, ...contents.map(({ size }) => size)])
}

function documentsOf(bundle: Bundle): readonly (readonly [name: string, bytes: Buffer])[] {
  return [
    [BUNDLE_FILE, formatBundle(bundle)],
    [LAYOUT_FILE, formatLayout()],
    [INDEX_FILE, formatIndex(bundle.images)],
  ]
}

function requireWhole({ bundle, incomplete }: ExportPlan, request: ExportRequest): void {
  const [first] = incomplete
  if (first !== undefined && !request.allowIncomplete) {
    const more = incomplete.length === 1 ? '' : `, and ${incomplete.length - 1} more`
    throw new ExportError('CONFLICT', `not all of it is here: ${first.image}${more}`)
  }
  if (bundle.images.length === 0)
    throw new ExportError('NOT_FOUND', 'nothing of what was asked for is here')
}
