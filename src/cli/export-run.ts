import { TAR_TYPE } from '../admin/media-types.ts'
import { bundleIdOf, parseBundle } from '../airgap/bundle/bundle.ts'
import type { Surroundings } from '../config/surroundings.ts'
import type { Digest } from '../oci/digest.ts'
import type { AdminClient } from './admin-client.ts'
import { inBatches } from './blocks.ts'
import { compress } from './compressor.ts'
import { ExitError } from './exit.ts'
import { incompleteLines, type PlanAnswer } from './export-plan.ts'
import type { Exported } from './export-result.ts'
import { ExportStream } from './export-stream.ts'
import type { ExportTarget, FileTarget } from './export-target.ts'
import { FolderWriter } from './folder-writing.ts'
import { formatBytes, formatDuration } from './format.ts'
import { Interruption } from './interruption.ts'
import { Progress } from './progress.ts'
import type { Terminal } from './terminal.ts'
import { VolumesWriter, type WrittenFile } from './volumes-writing.ts'

const EXIT_FAILURE = 1
const EXIT_INTEGRITY = 4
const PROGRESS_MS = 250

export interface ExportRunOptions {
  readonly client: AdminClient
  readonly request: object
  /** What the server has said of it. */
  readonly plan: PlanAnswer
  readonly target: ExportTarget
  /** Whether an earlier bundle of that name is replaced. */
  readonly force: boolean
  readonly io: Pick<Surroundings, 'stderr'>
  readonly terminal: Terminal
}

/** From the server to the disk. What is not whole is removed again. */
export class ExportRun {
  readonly #options: ExportRunOptions
  readonly #progress: Progress
  readonly #beganAt = performance.now()
  #shownAt = Number.NEGATIVE_INFINITY

  constructor(options: ExportRunOptions) {
    const { io, terminal } = options
    this.#options = options
    const { isWatched, size } = terminal
    const monotonic = () => performance.now()
    this.#progress = new Progress({ stderr: io.stderr, isWatched, monotonic, size })
  }

  /** @throws {ExitError} */
  async run(): Promise<Exported> {
    const { client, request, target } = this.#options
    using interruption = new Interruption('the export was ended: nothing of it is kept')
    const source = client.download('/export', request, TAR_TYPE, interruption.signal)
    const stream = new ExportStream(source, interruption, () => this.#show(stream.bytes))
    try {
      const files =
        target.kind === 'folder'
          ? await this.#writeFolder(target.path, stream)
          : await this.#writeFiles(target, stream, interruption)
      return this.#result(stream, files)
    } catch (error) {
      this.#progress.clear()
      throw await this.#explain(error, stream)
    } finally {
      this.#progress.clear()
    }
  }

  async #writeFiles(
    target: FileTarget,
    stream: ExportStream,
    interruption: Interruption,
  ): Promise<readonly WrittenFile[]> {
    const writer = new VolumesWriter(target, this.#options.force)
    try {
      const { compression } = target
      const pieces = compression === 'none' ? stream.read() : compress(stream.read(), compression)
      for await (const batch of inBatches(pieces)) await writer.write(batch)
      this.#progress.show('making it durable')
      const files = await writer.seal(stream.document)
      interruption.throwIfInterrupted()
      await writer.publish()
      return files
    } catch (error) {
      await writer.abandon()
      throw error
    }
  }

  async #writeFolder(path: string, stream: ExportStream): Promise<readonly WrittenFile[]> {
    const writer = new FolderWriter(path)
    try {
      await writer.write(stream.read())
      return []
    } catch (error) {
      await writer.abandon()
      throw error
    }
  }

  #result(stream: ExportStream, files: readonly WrittenFile[]): Exported {
    const { document, bytes } = stream
    const { images, blobs, contentAt, base } = parseBundle(document)
    const digests = new Set(blobs.map(({ digest }) => digest))
    const leftOut = new Set<Digest>(base?.blobs)
    return {
      images: images.length,
      blobs: digests.difference(leftOut).size,
      bytes,
      contentAt: new Date(contentAt).toISOString(),
      id: bundleIdOf(document),
      base: base && { id: base.id, blobs: base.blobs },
      files,
      seconds: Math.round((performance.now() - this.#beganAt) / 100) / 10,
    }
  }

  /** A connection that is cut says nothing of why: what is damaged is missing from then on. */
  async #explain(error: unknown, { bytes }: ExportStream): Promise<unknown> {
    const { client, request } = this.#options
    const isCut = error instanceof ExitError && error.exitCode === EXIT_FAILURE && bytes > 0
    if (!isCut) return error
    const plan = await client.post('/export/plan', request).catch(() => undefined)
    const { missing = [], leftOut = [] } = (plan ?? {}) as Partial<PlanAnswer>
    const lost = [...missing, ...leftOut.slice(this.#options.plan.leftOut.length)]
    if (lost.length === 0) return error
    const said = ['what was to be exported is damaged, and is put aside:', ...incompleteLines(lost)]
    const advice = 'larder preload fetches it again'
    return new ExitError(EXIT_INTEGRITY, [...said, advice].join('\n'), { cause: error })
  }

  /** `1.2 GiB of 3.4 GiB, 310 MiB/s, 7 s left` */
  #show(bytes: number): void {
    const now = performance.now()
    if (now - this.#shownAt < PROGRESS_MS) return
    this.#shownAt = now
    const total = Math.max(bytes, this.#options.plan.bytes)
    const rate = bytes / Math.max(0.001, (now - this.#beganAt) / 1_000)
    const sizes = `${formatBytes(bytes)} of ${formatBytes(total)}`
    const left = formatDuration((total - bytes) / Math.max(1, rate))
    this.#progress.show(`${sizes}, ${formatBytes(rate)}/s, ${left} left`)
  }
}
