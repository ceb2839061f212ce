import { copyFileSync, mkdirSync, readdirSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'

import { codeOf } from '../../src/store/errors.ts'

/** What becomes a blob comes before the blobs: a file that is renamed meanwhile is met once at least. */
const FIRST = 'ingest'

/**
 * Copies a data directory at this moment, as kill -9 would leave it: nothing of this process goes on
 * meanwhile but what the system does for it already.
 */
export function copyAsKilled(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o700 })
  const entries = readdirSync(from, { withFileTypes: true })
  entries.sort((a, b) => Number(b.name === FIRST) - Number(a.name === FIRST))
  for (const entry of entries) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) copyAsKilled(source, target)
    else unlessGone(() => copyFile(source, target))
  }
}

function copyFile(source: string, target: string): void {
  const { atimeMs, mtimeMs } = statSync(source)
  copyFileSync(source, target)
  utimesSync(target, atimeMs / 1000, mtimeMs / 1000)
}

function unlessGone(work: () => void): void {
  try {
    work()
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}
