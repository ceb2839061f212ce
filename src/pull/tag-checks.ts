import type { TagRule } from '../config/config.ts'
import type { Logger } from '../log.ts'
import type { FetchReason } from '../metrics/pulls.ts'
import type { Digest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import type { TagRecord } from '../store/ports.ts'
import { UpstreamError } from '../upstream/errors.ts'
import { Coalescer } from './coalesce.ts'
import type { Epochs } from './epochs.ts'
import { isOutage, toRegistryError } from './failures.ts'
import { ageMs, mayOutlast, staleMs } from './freshness.ts'
import { type Negatives, RememberedError } from './negatives.ts'
import { keyOf, keyPrefix, type Outcome, type Pull } from './pull.ts'
import { Refreshes } from './refreshes.ts'
import type { Shelf, StoredManifest } from './shelf.ts'

export interface PulledManifest extends StoredManifest {
  readonly outcome: Outcome
}

/** A tag that is in the cache, and the policy that it is under. */
export interface FoundTag {
  readonly tag: Tag
  readonly rule: TagRule
  readonly known: TagRecord
  readonly here: StoredManifest
}

export interface TagChecksOptions {
  readonly shelf: Shelf
  readonly negatives: Negatives
  readonly epochs: Epochs
  /** Told of the bytes of a registry that gives no digest to a HEAD. */
  readonly onFetched: (upstream: string, bytes: number, reason: FetchReason) => void
  readonly logger?: Pick<Logger, 'debug' | 'warn'>
  readonly now: () => number
  /** For a tag that has moved. */
  readonly getByDigest: (pull: Pull, digest: Digest) => Promise<PulledManifest>
}

/** What a registry says of a tag that is here: asked before the answer, or behind it. */
export class TagChecks {
  readonly #options: TagChecksOptions
  readonly #checks = new Coalescer<PulledManifest>()
  readonly #refreshes = new Refreshes()

  constructor(options: TagChecksOptions) {
    this.#options = options
  }

  /** Gives up what is being refreshed, and refreshes no more. */
  async stop(): Promise<void> {
    await this.#refreshes.stop()
  }

  /** What is here, now, and its registry asked behind it. */
  copyAndRefresh(pull: Pull, found: FoundTag): PulledManifest {
    return this.copy(found, { result: 'hit', isRefreshing: this.#refresh(pull, found) })
  }

  /** One at a time, whether somebody waits for it or not. */
  check(
    pull: Pull,
    found: FoundTag,
  ): Promise<{ readonly answer: PulledManifest; readonly isShared: boolean }> {
    const epoch = this.#options.epochs.of(pull.place)
    const key = keyOf(pull, String(epoch), found.tag)
    return this.#checks.ask(key, () => this.#revalidate(pull, found, epoch))
  }

  /** @returns whether the registry is being asked; not while its quota is wanted for nodes */
  #refresh(pull: Pull, found: FoundTag): boolean {
    if (pull.upstream.registry.isScarce()) return false
    const { signal } = this.#refreshes
    const behind: Pull = { ...pull, reason: 'revalidate', urgency: 'background', signal }
    const key = `${keyPrefix(pull.place)}${found.tag}`
    return this.#refreshes.begin(key, () =>
      this.check(behind, found).then(
        ({ answer }) => this.#unrefreshed(pull, found, answer.outcome.warning),
        (error: unknown) => this.#unrefreshed(pull, found, error),
      ),
    )
  }

  /** Nobody waited for it, and whoever pulls next is told by the age: a line for who looks closely. */
  #unrefreshed({ place }: Pull, { tag }: FoundTag, problem: unknown): void {
    if (problem === undefined) return
    const { upstream, repository } = place
    const { logger } = this.#options
    const line = { upstream, repository, tag }
    const isOfRegistry =
      typeof problem === 'string' || toRegistryError(problem, 'manifest') !== problem
    if (isOfRegistry || this.#refreshes.signal.aborted) {
      const reason = problem instanceof Error ? problem.message : problem
      logger?.debug({ ...line, problem: reason }, 'tag not refreshed')
    } else {
      logger?.warn({ ...line, err: problem }, 'tag not refreshed: unexpected error')
    }
  }

  /** Asks with HEAD, which costs no pull of a registry's quota, and fetches only what changed. */
  async #revalidate(pull: Pull, found: FoundTag, epoch: number): Promise<PulledManifest> {
    const { tag, known, here } = found
    try {
      const reference = { kind: 'tag', tag } as const
      const key = keyOf(pull, String(epoch), 'HEAD', tag)
      const { digest } = await this.asked(pull, tag, epoch, key, () =>
        pull.upstream.registry.headManifest(pull.place.repository, reference, {
          ...pull,
          hasCopy: true,
          onBytes: (bytes) => this.#options.onFetched(pull.place.upstream, bytes, 'revalidate'),
        }),
      )
      const isSame = digest === known.digest
      const current = isSame ? here : await this.#options.getByDigest(pull, digest)
      await this.#options.shelf.putTag(pull.place, tag, digest, epoch)
      return { ...current, outcome: { result: isSame ? 'revalidated' : 'miss', ageSeconds: 0 } }
    } catch (error) {
      if (!this.#mayServeStale(pull, found, error)) throw error
      const warning = error instanceof Error ? error.message : String(error)
      return this.copy(found, { result: 'stale', warning })
    }
  }

  /**
   * A no that is not only one caller's is written down: it ends the freshness of a tag under Always,
   * also for the outage that may follow. What is only remembered has been written down already.
   */
  async asked<Answer>(
    pull: Pull,
    tag: Tag,
    epoch: number,
    key: string,
    question: () => Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await this.#options.negatives.asked(key, question)
    } catch (error) {
      const isRefusal = error instanceof UpstreamError && !isOutage(error)
      if (isRefusal && !(error instanceof RememberedError) && pull.as.kind !== 'caller') {
        await this.#options.shelf.refuseTag(pull.place, tag, epoch)
      }
      throw error
    }
  }

  /**
   * An outage lets a tag grow stale for `staleIfError`; a site that is offline has no other. A
   * refusal is an answer. So is 404, but IfNotPresent asks for what is present.
   */
  #mayServeStale(pull: Pull, { rule, known }: FoundTag, error: unknown): boolean {
    if (!(error instanceof UpstreamError)) return false
    if (error.kind === 'offline') return true
    if (!mayOutlast(rule, pull.upstream.config, known, this.#options.now())) return false
    return isOutage(error) || (error.kind === 'unknown' && rule.pullPolicy !== 'Always')
  }

  copy({ rule, known, here }: FoundTag, outcome: Outcome): PulledManifest {
    const now = this.#options.now()
    const staleSeconds = Math.ceil(staleMs(rule, known, now) / 1000)
    const times = {
      ageSeconds: Math.floor(ageMs(known, now) / 1000),
      ...(rule.pullPolicy !== 'Never' && staleSeconds > 0 ? { staleSeconds } : {}),
    }
    return { ...here, outcome: { ...outcome, ...times } }
  }
}
