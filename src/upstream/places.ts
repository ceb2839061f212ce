/** What a place is held for: until a body has closed, or for a question with a short answer. */
export type Work = 'body' | 'brief'

/** `background`: nobody waits for it, and it lets everybody by who does. */
export type Urgency = 'interactive' | 'background'

export interface Errand {
  readonly work: Work
  readonly urgency: Urgency
}

/** Bodies leave so many places to questions, where there are enough. */
const MAX_RESERVE = 4
const RESERVED_SHARE = 1 / 4
const BACKGROUND_SHARE = 1 / 2

/**
 * Who may ask an upstream at the same time. Some places are never given to bodies, so that long
 * downloads do not starve the questions by which every pull begins.
 */
export class Places {
  readonly total: number
  readonly #bodies: number
  readonly #background: number
  #takenByBodies = 0
  #takenByBackground = 0

  /** @param total at least 1 */
  constructor(total: number) {
    this.total = total
    this.#bodies = total - Math.min(MAX_RESERVE, Math.floor(total * RESERVED_SHARE))
    this.#background = Math.max(1, Math.floor(this.#bodies * BACKGROUND_SHARE))
  }

  /** Whether its kind has a place left; the total is not looked at. */
  admits({ work, urgency }: Errand): boolean {
    if (work === 'body' && this.#takenByBodies >= this.#bodies) return false
    return urgency === 'interactive' || this.#takenByBackground < this.#background
  }

  take(errand: Errand): void {
    this.#count(errand, 1)
  }

  free(errand: Errand): void {
    this.#count(errand, -1)
  }

  #count({ work, urgency }: Errand, change: 1 | -1): void {
    if (work === 'body') this.#takenByBodies += change
    if (urgency === 'background') this.#takenByBackground += change
  }
}
