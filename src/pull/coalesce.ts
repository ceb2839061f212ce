/** One question at a time per key: whoever asks meanwhile gets the same answer, or the same error. */
export class Coalescer<Answer> {
  readonly #asked = new Map<string, Promise<Answer>>()

  /** @returns the answer, and whether somebody else had asked already */
  async ask(
    key: string,
    question: () => Promise<Answer>,
  ): Promise<{ readonly answer: Answer; readonly isShared: boolean }> {
    const asked = this.#asked.get(key)
    if (asked !== undefined) return { answer: await asked, isShared: true }
    const mine = question().finally(() => {
      if (this.#asked.get(key) === mine) this.#asked.delete(key)
    })
    this.#asked.set(key, mine)
    return { answer: await mine, isShared: false }
  }
}
