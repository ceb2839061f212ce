import type { Locator, Spot } from './findings.ts'
import type { Where } from './mention.ts'

/** Lines and columns of a source's text. */
export class TextLocator implements Locator {
  readonly #source: string
  readonly #text: string
  /** Offsets at which lines begin. */
  readonly #lines: readonly number[]

  constructor(source: string, text: string) {
    this.#source = source
    this.#text = text
    const lines = [0]
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines.push(at + 1)
    this.#lines = lines
  }

  locate({ offset, end, path }: Spot, raw = ''): Where {
    // Quotes and the signs of a block come before the text itself.
    const inside = raw === '' ? -1 : this.#text.slice(offset, end).indexOf(raw)
    const place = this.#placeOf(inside < 0 ? offset : offset + inside)
    return { source: this.#source, ...place, ...(path === '' ? {} : { path }) }
  }

  #placeOf(offset: number): { line: number; column: number } {
    let low = 0
    let high = this.#lines.length - 1
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((this.#lines[middle] ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: offset - (this.#lines[low] ?? 0) + 1 }
  }
}

/** Places in a text that is a value of another text: those of what it says, in the outer one. */
export class EmbeddedLocator implements Locator {
  readonly #outer: Locator
  readonly #spot: Spot

  constructor(outer: Locator, spot: Spot) {
    this.#outer = outer
    this.#spot = spot
  }

  locate({ path }: Spot, raw?: string): Where {
    const { path: around } = this.#spot
    return this.#outer.locate(
      { ...this.#spot, path: path === '' ? around : `${around}: ${path}` },
      raw,
    )
  }
}
