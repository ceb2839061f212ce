import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { User } from './tenants.ts'

/** As it is, as a header carries it, and as a form does. */
export function assertNowhere(text: string, { name, password }: User): void {
  const pair = Buffer.from(`${name}:${password}`)
  for (const form of [password, pair.toString('base64'), pair.toString('base64url')]) {
    assert.equal(text.includes(form), false, `the secret of ${name} is in ${excerpt(text, form)}`)
  }
}

function excerpt(text: string, form: string): string {
  const at = text.indexOf(form)
  return text.slice(Math.max(0, at - 200), at)
}

/** Every file below `dir`, each byte a character. */
export async function filesIn(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  return Promise.all(
    files.map(({ parentPath, name }) => readFile(join(parentPath, name), 'latin1')),
  )
}
