import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A folder of the test's own: `await using dir = await makeTempDir()` removes it at the end. */
export interface TempDir extends AsyncDisposable {
  readonly path: string
  remove(): Promise<void>
}

export async function makeTempDir(prefix = 'larder-test-'): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), prefix))
  const remove = () => rm(path, { recursive: true, force: true, maxRetries: 3 })
  return { path, remove, [Symbol.asyncDispose]: remove }
}
