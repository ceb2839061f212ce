import { createInterface } from 'node:readline/promises'

/** Whoever may be sitting in front of a command. */
export interface Terminal {
  /** Whether there is somebody to ask. */
  readonly canAsk: boolean
  /** Whether messages are looked at as they come, so that a line may be written over. */
  readonly isWatched: boolean
  ask(question: string): Promise<string>
}

export function processTerminal(): Terminal {
  const { stdin, stderr } = process
  return {
    canAsk: stdin.isTTY === true && stderr.isTTY === true,
    isWatched: stderr.isTTY === true,
    async ask(question) {
      const lines = createInterface({ input: stdin, output: stderr })
      try {
        return await lines.question(question)
      } finally {
        lines.close()
      }
    },
  }
}
