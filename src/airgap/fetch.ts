import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { type Manifest, parseManifest } from '../oci/manifest.ts'
import type { Pull } from '../pull/pull.ts'
import { abortable } from './abortable.ts'
import { PreloadError } from './failure.ts'
import type { Image } from './image.ts'
import type { PreloadImageOptions } from './preload-image.ts'
import { cosignTags, type Survey } from './survey.ts'
import { type Reached, type WalkDescriptor, type WalkSource, walk } from './walk.ts'

/** What one image lacks is fetched; the rest is looked at. */
export class Fetch {
  readonly #options: PreloadImageOptions
  readonly #image: Image
  readonly #pull: Pull
  readonly #before: Survey
  /** Manifests whose files are not here, or not right. */
  readonly #lost: ReadonlySet<Digest>
  readonly #failures: unknown[] = []
  /** Bytes of all that was reached. */
  bytes = 0
  /** Of those, what was not here before, or, in a dry run, is not here. */
  fetchedBytes = 0

  constructor(options: PreloadImageOptions, image: Image, pull: Pull, before: Survey) {
    this.#options = options
    this.#image = image
    this.#pull = pull
    this.#before = before
    this.#lost = new Set(
      before.missing.filter(({ kind }) => kind === 'manifest').map(({ digest }) => digest),
    )
  }

  /** @param fetched the one that has just come, if any: the manifest of a tag that has moved */
  allHere(fetched: Digest | undefined): void {
    for (const { digest, size } of this.#before.here) {
      this.#count(digest, size, digest === fetched)
    }
  }

  /**
   * @param isNew whether the manifest that it begins with has just come
   * @throws {RegistryError | PreloadError} the first failure, once all else was tried
   */
  async run(root: Digest, isNew: boolean): Promise<void> {
    const { request, signal } = this.#options.run
    const source: WalkSource = {
      manifest: ({ digest }) => this.#manifest(digest, isNew && digest === root),
      ...(request.referrers ? { referrers: (digest: Digest) => this.#referrers(digest) } : {}),
    }
    const platforms = request.platforms ?? this.#image.platforms
    const fetching: Promise<void>[] = []
    for await (const { kind, descriptor } of walk({ digest: root, size: -1 }, platforms, source)) {
      if (signal.aborted) break
      if (kind === 'blob') fetching.push(this.#blob(descriptor))
    }
    await Promise.all(fetching)
    signal.throwIfAborted()
    this.#throwWorst()
  }

  /** What a registry lists and does not have is told of in the end: the rest may be had. */
  async #manifest(digest: Digest, isNew: boolean): Promise<Manifest | undefined> {
    const { manifests, run } = this.#options
    try {
      await run.hold(digest)
      const pulled = await this.#patiently(async () => {
        const got = await manifests.get(this.#pull, { kind: 'digest', digest })
        // It is in memory, and its file is not what it was.
        const isLost = got.outcome.result === 'hit' && this.#lost.has(digest)
        if (isLost) await manifests.restore(this.#pull, digest)
        return got
      })
      const { bytes, mediaType, outcome } = pulled
      this.#count(digest, bytes.length, isNew || outcome.result !== 'hit')
      return parseManifest(bytes, mediaType)
    } catch (error) {
      this.#failures.push(error)
      return undefined
    }
  }

  async #referrers(digest: Digest): Promise<readonly WalkDescriptor[]> {
    const { lists, manifests } = this.#options
    const found: WalkDescriptor[] = []
    try {
      const listed = await this.#patiently(() => lists.referrers(this.#pull, digest))
      found.push(...listed.items)
      for (const tag of cosignTags(digest)) {
        const reference = { kind: 'tag', tag } as const
        const tagged = await this.#patiently(() => manifests.get(this.#pull, reference)).catch(
          (error: unknown) => {
            if (error instanceof RegistryError && error.status === 404) return undefined
            throw error
          },
        )
        if (tagged !== undefined) found.push({ digest: tagged.digest, size: tagged.bytes.length })
      }
    } catch (error) {
      this.#failures.push(error)
    }
    return found
  }

  async #blob(descriptor: Reached['descriptor']): Promise<void> {
    const { digest, size } = descriptor
    const { progress, request, hold } = this.#options.run
    progress.known(digest, size)
    this.bytes += Math.max(0, size)
    try {
      await hold(digest)
      const wasFetched = request.dryRun
        ? await this.#isAbsent(digest)
        : await this.#obtain(descriptor)
      progress.arrived(digest, wasFetched)
      if (wasFetched) this.fetchedBytes += Math.max(0, size)
    } catch (error) {
      progress.failed(digest)
      this.#failures.push(error)
    }
  }

  /** What another image is waiting for already takes no second place in the line. */
  async #obtain(descriptor: WalkDescriptor): Promise<boolean> {
    const { queue, under, signal } = this.#options.run
    const { digest } = descriptor
    for (;;) {
      const other = under.get(digest)
      if (other === undefined) break
      await other
    }
    const obtained = this.#patiently(() =>
      queue.add(() => abortable(this.#obtainNow(descriptor), signal)),
    )
    const ended = obtained.then(
      () => {},
      () => {},
    )
    under.set(digest, ended)
    try {
      return await obtained
    } finally {
      under.delete(digest)
    }
  }

  async #obtainNow({ digest, size }: WalkDescriptor): Promise<boolean> {
    const { blobs, surveyor, hasRoomFor } = this.#options
    const { progress, patience, signal } = this.#options.run
    signal.throwIfAborted()
    const isStored = await surveyor.isStored(digest)
    if (!isStored && size > 0 && !(await hasRoomFor(size))) throw noRoom(digest, size)
    if (!isStored) progress.began(this.#image.name, digest)
    const onBytes = (bytes: number) => {
      progress.came(digest, bytes)
      patience.came(this.#image.place.upstream)
    }
    return await blobs.obtain(this.#pull, digest, { onBytes, signal })
  }

  async #isAbsent(digest: Digest): Promise<boolean> {
    return !(await this.#options.surveyor.isHere(this.#image.place, digest))
  }

  #patiently<T>(ask: () => Promise<T>): Promise<T> {
    const { patience, signal } = this.#options.run
    return patience.run(this.#image.place.upstream, signal, ask)
  }

  #count(digest: Digest, size: number, wasFetched: boolean): void {
    const { progress } = this.#options.run
    this.bytes += size
    if (wasFetched) this.fetchedBytes += size
    progress.known(digest, size)
    progress.arrived(digest, wasFetched)
  }

  /** What is a fault of ours says more than what a registry says. */
  #throwWorst(): void {
    if (this.#failures.length === 0) return
    const isExpected = (one: unknown) => one instanceof RegistryError || one instanceof PreloadError
    throw this.#failures.find((one) => !isExpected(one)) ?? this.#failures[0]
  }
}

function noRoom(digest: Digest, size: number): PreloadError {
  const message = `no room for ${digest} of ${size} bytes, and nothing that may go for it`
  return new PreloadError('NO_ROOM', `${message}: see storage.maxSize and storage.minFree`)
}
