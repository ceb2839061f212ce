import type { Queue, QueueAddOptions } from 'p-queue'

import type { Errand, Places, Urgency, Work } from './places.ts'

export type Turn = Errand & QueueAddOptions

type Run = () => Promise<unknown>

interface Waiter {
  readonly run: Run
  /** Counts up. */
  readonly arrival: number
  readonly turn: Partial<Turn>
}

/** In the order of their arrival, by their id. */
type Row = Map<string, Waiter>

const WORKS: readonly Work[] = ['body', 'brief']

/**
 * Whose turn it is: the first to have come, but bodies wait for a place of their own, and background
 * work for the moment in which nobody else waits.
 */
export class Turns implements Queue<Run, Turn> {
  readonly #places: Places
  readonly #rows: Readonly<Record<Urgency, Readonly<Record<Work, Row>>>> = {
    interactive: { body: new Map(), brief: new Map() },
    background: { body: new Map(), brief: new Map() },
  }
  #arrivals = 0

  constructor(places: Places) {
    this.#places = places
  }

  /** p-queue starts the next while this is not 0: who has to wait on is not to be counted. */
  get size(): number {
    return this.#next() === undefined ? 0 : 1
  }

  enqueue(run: Run, turn: Partial<Turn> = {}): void {
    const { id = '', urgency = 'interactive', work = 'brief' } = turn
    this.#rows[urgency][work].set(id, { run, arrival: this.#arrivals++, turn })
  }

  dequeue(): Run | undefined {
    const next = this.#next()
    if (next === undefined) return undefined
    this.remove(next.turn.id ?? '')
    return next.run
  }

  remove(id: string): void {
    for (const row of this.#all()) row.delete(id)
  }

  filter({ id }: Readonly<Partial<Turn>>): Run[] {
    const waiters = this.#all().flatMap((row) => [...row])
    return waiters.filter(([own]) => id === undefined || own === id).map(([, { run }]) => run)
  }

  setPriority(): never {
    throw new Error('a turn is changed by nothing but who else waits')
  }

  #next(): Waiter | undefined {
    const { body, brief } = this.#rows.interactive
    const isAnyoneWaiting = body.size > 0 || brief.size > 0
    return this.#firstOf(isAnyoneWaiting ? 'interactive' : 'background')
  }

  #firstOf(urgency: Urgency): Waiter | undefined {
    let first: Waiter | undefined
    for (const work of WORKS) {
      if (!this.#places.admits({ work, urgency })) continue
      const [waiter] = this.#rows[urgency][work].values()
      if (waiter !== undefined && waiter.arrival < (first?.arrival ?? Infinity)) first = waiter
    }
    return first
  }

  #all(): readonly Row[] {
    return Object.values(this.#rows).flatMap((rows) => Object.values(rows))
  }
}

/** As p-queue wants it: a class that it makes one of itself. */
export function turnsAt(places: Places): new () => Turns {
  return class extends Turns {
    constructor() {
      super(places)
    }
  }
}
