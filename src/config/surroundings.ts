import type { Environment } from './environment.ts'

/** What a process is started with, and where it writes. */
export interface Surroundings {
  readonly env: Environment
  readonly cwd: string
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
}

/** This process's own. Everything else is handed them, so that tests can hand in others. */
export function processSurroundings(): Surroundings {
  const { env, stdout, stderr } = process
  return { env, cwd: process.cwd(), stdout, stderr }
}
