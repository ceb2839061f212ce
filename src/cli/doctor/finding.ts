/** What was looked at, how it is, and what to do about it. */
export interface Finding {
  readonly status: 'ok' | 'warn' | 'fail'
  readonly check: string
  /** Holds no secret. */
  readonly detail: string
  readonly advice?: string
}

export function ok(check: string, detail: string): Finding {
  return { status: 'ok', check, detail }
}

/** It works, and may not for long or not as it should. */
export function warn(check: string, detail: string, advice: string): Finding {
  return { status: 'warn', check, detail, advice }
}

export function fail(check: string, detail: string, advice: string): Finding {
  return { status: 'fail', check, detail, advice }
}

/** Room for a registry's name. */
const CHECK_WIDTH = 18
const WORDS: Readonly<Record<Finding['status'], string>> = { ok: 'ok', warn: 'warn', fail: 'FAIL' }

/** One line. */
export function formatFinding({ status, check, detail, advice }: Finding): string {
  const line = `${WORDS[status].padEnd(4)}  ${check.padEnd(CHECK_WIDTH)}  ${detail}`
  return (advice === undefined ? line : `${line} → ${advice}`).replaceAll(/\s*\n\s*/g, '; ')
}

/** A system's or a client's error in few words. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}
