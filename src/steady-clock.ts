import type { Clock } from './upstream/clock.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** How much of what the wall clock is ahead may be taken over at once, and then within an hour. */
const MAX_LEAP_MS = DAY_MS
/**
 * No machine is believed to have been away for longer: of what is more, the rest is forgiven. A line
 * that followed a battery's ten years, however slowly, would go many times too fast for months.
 */
const MAX_AHEAD_MS = 30 * DAY_MS
/** By how much the leave to leap grows with each millisecond that passes. */
const REGAIN = MAX_LEAP_MS / HOUR_MS

export interface SteadyClockOptions {
  /** Its `now` is the wall clock, which anybody may set; its `elapsed` never jumps. */
  readonly system: Clock
  /** As it was last written down; `undefined`: it begins. */
  readonly last: ClockMark | undefined
}

/** What goes on over a restart, in milliseconds: to begin anew is no reason to leap again. */
export interface ClockMark {
  /** Where the line was, since the epoch. */
  readonly at: number
  /** The wall clock at that moment. */
  readonly wall: number
  /** How far the wall clock was believed to be ahead of the line; negative: behind. */
  readonly ahead: number
  /** How far the line might still leap at once. */
  readonly leave: number
}

/**
 * Larder's own time line, in epoch milliseconds, by which everything stored is dated and every age is
 * measured. Nothing else is comparable over a restart: the monotonic clock begins anew with each
 * boot, and the wall clock is set by people, by NTP, by a dead battery. Were ages measured by it, ten
 * years ahead would expire every tag and evict every blob as unused, and ten years back would keep a
 * tag fresh, and an outage's copy good, for ten years.
 *
 * So it never goes back, also not over a restart, and goes as the monotonic clock does. The wall
 * clock can only pull it ahead, only by a day at once, a day in an hour, and 30 days in all for one
 * jump: a machine that was asleep or off is a true passing of time, a battery's ten years are not.
 * Where the wall clock is further off, or behind, the line goes on by itself: it is no date then.
 *
 * What speaks to others of the true date uses the wall clock itself: log lines, HTTP dates, the
 * expiry of credentials and certificates, and timestamps in metrics.
 */
export class SteadyClock implements Clock {
  readonly #system: Clock
  #at: number
  #elapsed: number
  /** The wall clock less the monotonic one: it changes only when the wall clock is moved. */
  #offset: number
  /** How far the wall clock is believed to be ahead of the line; negative: behind. */
  #ahead: number
  /** How far it may still leap now. */
  #leave: number

  constructor({ system, last }: SteadyClockOptions) {
    this.#system = system
    this.#elapsed = system.elapsed()
    const wall = system.now()
    const { at, ahead, leave, ...known } = last ?? { at: wall, wall, ahead: 0, leave: MAX_LEAP_MS }
    this.#at = at
    this.#offset = wall - this.#elapsed
    // The wall clock alone knows how long the machine was off.
    this.#ahead = Math.min(ahead + wall - known.wall, MAX_AHEAD_MS)
    this.#leave = leave
  }

  /** Whole milliseconds of the time line. */
  now(): number {
    const elapsed = this.#system.elapsed()
    const passed = Math.max(0, elapsed - this.#elapsed)
    this.#elapsed = Math.max(elapsed, this.#elapsed)
    const offset = this.#system.now() - elapsed
    this.#ahead = Math.min(this.#ahead + offset - this.#offset, MAX_AHEAD_MS)
    this.#offset = offset
    this.#leave = Math.min(MAX_LEAP_MS, this.#leave + passed * REGAIN)
    const leap = Math.max(0, Math.min(this.#ahead, this.#leave))
    this.#ahead -= leap
    this.#leave -= leap
    this.#at += passed + leap
    return Math.floor(this.#at)
  }

  elapsed(): number {
    return this.#system.elapsed()
  }

  /** As of now, to be written down. */
  mark(): ClockMark {
    const at = this.now()
    const wall = Math.round(this.#offset + this.#elapsed)
    return { at, wall, ahead: Math.floor(this.#ahead), leave: Math.floor(this.#leave) }
  }
}

/** Where the time line is written down. */
export interface ClockStore {
  putClock(mark: ClockMark): void
}

export interface ClockKeeperOptions {
  readonly clock: Pick<SteadyClock, 'mark'>
  readonly store: ClockStore
  /** Told when it could not be written; it is tried again at the next interval. */
  readonly onError: (error: unknown) => void
  /** Default: a minute. That much of the line is lost with the power. */
  readonly intervalMs?: number
}

/** Writes the time line down now and then, so that the next start goes on where this one ended. */
export class ClockKeeper {
  readonly #options: ClockKeeperOptions
  readonly #timer: NodeJS.Timeout

  constructor(options: ClockKeeperOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#write(), options.intervalMs ?? 60_000)
    this.#timer.unref()
    this.#write()
  }

  /** Writes it for the last time. The store must still be open. */
  close(): void {
    clearInterval(this.#timer)
    this.#write()
  }

  #write(): void {
    const { clock, store, onError } = this.#options
    try {
      store.putClock(clock.mark())
    } catch (error) {
      onError(error)
    }
  }
}
