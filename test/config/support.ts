import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Environment } from '../../src/config/environment.ts'
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/config/problems.ts'

/** Runs `use` with a directory that holds `larder.yaml` with that text. */
export async function withFile<T>(
  text: string | Uint8Array,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'larder-config-'))
  try {
    await writeFile(join(directory, 'larder.yaml'), text)
    return await use(directory)
  } finally {
    await rm(directory, { recursive: true })
  }
}

export async function loadText(
  text: string | Uint8Array,
  env: Environment = {},
): Promise<LoadedConfig> {
  return await withFile(text, (cwd) => loadConfig({ file: 'larder.yaml', env, cwd }))
}

/** The lines of the ConfigError; none when it loads. Any other error is thrown. */
export async function problemsOf(
  text: string | Uint8Array,
  env: Environment = {},
): Promise<readonly string[]> {
  try {
    await loadText(text, env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.format().split('\n')
    throw error
  }
}
