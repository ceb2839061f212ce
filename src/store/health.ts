import { NoRoomError, StoreRestingError } from './errors.ts'
import { diagnose, type Side, type Trouble } from './trouble.ts'

/** What the file system has left for Larder. */
export interface Space {
  readonly freeBytes: number
  /** `undefined`: it has no fixed number of them. */
  readonly freeInodes: number | undefined
}

/** A refused operation. */
export interface Refusal {
  readonly operation: string
  readonly error: unknown
}

/** A trouble that has begun. */
export interface Ailment {
  readonly trouble: Trouble
  /** Nothing is written meanwhile, but for a trial now and then. */
  readonly isResting: boolean
  /** How long it lasts, in milliseconds. */
  readonly forMs: number
  /** Operations that were refused, by the disk or because it rests. */
  readonly refused: number
}

export interface StoreHealthEvents {
  began(trouble: Trouble, first: Refusal, space: Space | undefined): void
  ended(ailment: Ailment): void
  /** A failure that alone means nothing yet. */
  failedOnce(trouble: Trouble, refusal: Refusal): void
  /** The database has no room: it is told of each time. */
  databaseFull(): void
}

export interface Trial {
  readonly trouble: Trouble
  readonly sides: ReadonlySet<Side>
  /** The smallest content that no room could be made for, in bytes. */
  readonly wantedBytes: number
  /** Since something was refused last, in milliseconds. */
  readonly quietMs: number
}

export interface StoreHealthOptions {
  /** Tries what was refused, and perhaps makes room for it. Rejects when it is refused again. */
  readonly attempt: (trial: Trial) => Promise<void>
  /** `undefined`: the file system does not say. */
  readonly measure: () => Space | undefined
  readonly events: StoreHealthEvents
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed: () => number
}

/** An error of the medium may be a single bad sector: so many within so long are more than that. */
const MAX_STRIKES = 3
const STRIKES_MS = 60_000
const FIRST_TRIAL_MS = 1_000
const MAX_TRIAL_MS = 60_000
/** How long all has to go well after a trial, before it is believed. */
const PROOF_MS = 5_000
const MAX_PROOF_MS = 10 * 60_000
/** What comes back within this is the same trouble again: it has to go well for twice as long. */
const RELAPSE_MS = 10 * 60_000
/** With more than this left it is not bytes that a file system lacks which says that it is full. */
const SOME_BYTES = 1024 * 1024
/** The disk has said itself that it takes nothing: to go on asking would cost each pull an fsync. */
const RESTING: ReadonlySet<Trouble> = new Set(['full', 'inodes', 'read_only', 'denied', 'io'])

interface State {
  readonly trouble: Trouble
  readonly since: number
  readonly sides: Set<Side>
  readonly proofMs: number
  refused: number
  refusedAt: number
  wantedBytes: number
  trialMs: number
  trialAt: number
  /** A trial has succeeded, and from then on all has; `undefined`: not yet. */
  provenAt: number | undefined
}

/**
 * What is wrong with the disk, as its operations have told. While it refuses writes, none is tried
 * for a pull, so that a full or broken disk costs nobody time; a trial now and then finds out when it
 * is over. A trouble begins once and ends once, however many operations fail meanwhile.
 */
export class StoreHealth {
  readonly #options: StoreHealthOptions
  readonly #states = new Map<Trouble, State>()
  /** Of troubles that are over: when that was, and how long they had to be proven. */
  readonly #past = new Map<Trouble, { readonly endedAt: number; readonly proofMs: number }>()
  #strikes: number[] = []
  #looking: Promise<void> | undefined

  constructor(options: StoreHealthOptions) {
    this.#options = options
  }

  /** What is wrong now, longest first. */
  get ailments(): readonly Ailment[] {
    return [...this.#states.values()].map((state) => this.#shown(state))
  }

  /** Whether contents are stored, as far as the disk allows it. */
  get isWritable(): boolean {
    return ![...this.#states.values()].some(isResting)
  }

  /** Before a write that a pull would like. @throws {StoreRestingError} */
  assertWritable(): void {
    for (const state of this.#states.values()) {
      if (!isResting(state)) continue
      state.refused++
      throw new StoreRestingError(state.trouble)
    }
  }

  /** The disk has refused something. */
  failed(operation: string, error: unknown): void {
    const { trouble: told, side } = diagnose(error)
    const space = told === 'full' && side !== 'room' ? this.#options.measure() : undefined
    const trouble = space !== undefined && isOutOfInodes(space) ? 'inodes' : told
    if (trouble === 'full' && side === 'database') this.#options.events.databaseFull()
    const known = this.#states.get(trouble)
    if (known === undefined && trouble === 'io' && !this.#isThirdStrike()) {
      this.#options.events.failedOnce(trouble, { operation, error })
      return
    }
    const state = known ?? this.#begin(trouble, { operation, error })
    state.sides.add(side)
    state.refused++
    state.refusedAt = this.#options.elapsed()
    if (error instanceof NoRoomError) state.wantedBytes = Math.min(state.wantedBytes, error.bytes)
    if (state.provenAt !== undefined) this.#postpone(state)
  }

  /** Tries what is due, and ends what has been well for long enough. To be called now and then. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #look(): Promise<void> {
    const { elapsed } = this.#options
    for (const state of [...this.#states.values()]) {
      if (state.provenAt !== undefined) {
        if (elapsed() - state.provenAt >= state.proofMs) this.#end(state)
      } else if (elapsed() >= state.trialAt) await this.#try(state)
    }
  }

  async #try(state: State): Promise<void> {
    const { trouble, sides, wantedBytes, refusedAt } = state
    const quietMs = this.#options.elapsed() - refusedAt
    try {
      await this.#options.attempt({ trouble, sides, wantedBytes, quietMs })
      state.provenAt = this.#options.elapsed()
    } catch {
      // The trouble goes on, and the log has why.
      this.#postpone(state)
    }
  }

  #postpone(state: State): void {
    state.provenAt = undefined
    state.trialMs = Math.min(state.trialMs * 2, MAX_TRIAL_MS)
    state.trialAt = this.#options.elapsed() + state.trialMs
  }

  #begin(trouble: Trouble, first: Refusal): State {
    const { elapsed, events, measure } = this.#options
    const now = elapsed()
    const past = this.#past.get(trouble)
    const isRelapse = past !== undefined && now - past.endedAt < RELAPSE_MS
    const state: State = {
      trouble,
      since: now,
      sides: new Set(),
      proofMs: isRelapse ? Math.min(past.proofMs * 2, MAX_PROOF_MS) : PROOF_MS,
      refused: 0,
      refusedAt: now,
      wantedBytes: Number.POSITIVE_INFINITY,
      trialMs: FIRST_TRIAL_MS,
      trialAt: now + FIRST_TRIAL_MS,
      provenAt: undefined,
    }
    this.#states.set(trouble, state)
    events.began(trouble, first, measure())
    return state
  }

  #end(state: State): void {
    const { trouble, proofMs } = state
    this.#states.delete(trouble)
    this.#past.set(trouble, { endedAt: this.#options.elapsed(), proofMs })
    if (trouble === 'io') this.#strikes = []
    this.#options.events.ended(this.#shown(state))
  }

  #isThirdStrike(): boolean {
    const now = this.#options.elapsed()
    this.#strikes = [...this.#strikes, now].filter((at) => now - at < STRIKES_MS)
    return this.#strikes.length >= MAX_STRIKES
  }

  #shown(state: State): Ailment {
    const { trouble, since, refused } = state
    const forMs = this.#options.elapsed() - since
    return { trouble, isResting: isResting(state), forMs, refused }
  }
}

/** Where only room is lacking, each content is asked for anew: a smaller one may fit. */
function isResting({ trouble, sides, provenAt }: State): boolean {
  const isRefusedByDisk = sides.has('files') || sides.has('database')
  return RESTING.has(trouble) && isRefusedByDisk && provenAt === undefined
}

function isOutOfInodes({ freeInodes, freeBytes }: Space): boolean {
  return freeInodes === 0 && freeBytes >= SOME_BYTES
}
