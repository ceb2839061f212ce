/** While pins are being read back from their files, what the catalog lacks may be about to come. */
export class Restoration {
  #pending: Promise<unknown> | undefined

  /** @param restored settles when the catalog has all that pins keep; never rejects */
  constructor(restored: Promise<unknown>) {
    const pending = restored.then(() => {
      this.#pending = undefined
    })
    this.#pending = pending
  }

  /**
   * Asks the catalog; while it is incomplete, what it lacks is asked for once more when it is not.
   *
   * @param isLacking whether an answer may be another one then
   */
  async ask<Answer>(
    question: () => Promise<Answer>,
    isLacking: (answer: Answer) => boolean = (answer) => answer === undefined,
  ): Promise<Answer> {
    const answer = await question()
    if (this.#pending === undefined || !isLacking(answer)) return answer
    await this.#pending
    return question()
  }
}
