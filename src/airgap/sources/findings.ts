import { readImage, whyNoImage } from './image-text.ts'
import type { Certainty, Found, ImageMention, Level, Note, Where } from './mention.ts'
import { EmbeddedLocator } from './position.ts'

/** Where one value stands in the text of a source. */
export interface Spot {
  readonly offset: number
  readonly end: number
  readonly path: string
}

/** The text of a source, as far as places in it have to be named. */
export interface Locator {
  /** Where `raw` stands within the spot; the spot's beginning when it is not there as it is. */
  locate(spot: Spot, raw?: string): Where
}

export interface MentionOptions {
  readonly certainty?: Certainty
  readonly platform?: string | undefined
  /** How it is written in the source, when that is not the image itself. */
  readonly written?: string
}

/** Gathers what a parser finds. */
export class Findings {
  readonly #locator: Locator
  readonly #images: ImageMention[]
  readonly #notes: Note[]

  constructor(locator: Locator, images: ImageMention[] = [], notes: Note[] = []) {
    this.#locator = locator
    this.#images = images
    this.#notes = notes
  }

  get found(): Found {
    return { images: this.#images, notes: this.#notes }
  }

  /** A place that is there to name an image: an error if it names none, unless it is a maybe. */
  image(raw: string, spot: Spot, options: MentionOptions = {}): void {
    if (this.tryImage(raw, spot, options) || options.certainty === 'maybe') return
    const message = whyNoImage(options.written ?? raw)
    this.note('error', message, spot, options.written ?? raw)
  }

  /** A place that may name one, too. @returns whether it does */
  tryImage(raw: string, spot: Spot, options: MentionOptions = {}): boolean {
    const reference = readImage(raw)
    if (reference === undefined) return false
    const { certainty = 'sure', platform, written = raw } = options
    const where = this.#locator.locate(spot, written)
    const known = platform === undefined ? {} : { platform }
    this.#images.push({ reference, raw: written, ...known, where, certainty })
    return true
  }

  note(level: Level, message: string, spot: Spot, raw?: string): void {
    this.#notes.push({ level, where: this.#locator.locate(spot, raw), message })
  }

  /** For a text that is a value of this text: places in it are named by those around it. */
  within(spot: Spot): Findings {
    return new Findings(new EmbeddedLocator(this.#locator, spot), this.#images, this.#notes)
  }
}
