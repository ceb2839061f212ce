import { createInterface } from 'node:readline/promises'

/** Whoever may be sitting in front of a command. */
export interface Terminal {
  /** Whether there is somebody to ask. */
  readonly canAsk: boolean
  /** Whether messages are looked at as they come, so that a line may be written over. */
  readonly isWatched: boolean
  /** How large it is now; absent: nobody knows. */
  readonly size?: () => { readonly columns: number; readonly rows: number }
  ask(question: string): Promise<string>
}

export function processTerminal(): Terminal {
  const { stdin, stderr } = process
  return {
    canAsk: stdin.isTTY === true && stderr.isTTY === true,
    isWatched: stderr.isTTY === true,
    size: () => ({ columns: stderr.columns ?? 80, rows: stderr.rows ?? 24 }),
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
