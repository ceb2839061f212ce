import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import type { NodeFile } from '../node-config/setup.ts'
import { ExitError } from './exit.ts'

export interface WrittenFile {
  readonly path: string
  /** `false`: it was there, and the same. */
  readonly isNew: boolean
}

/**
 * Writes files below a folder: all of them, or none where one is there that differs.
 *
 * @throws {ExitError} 1, with the names of those that differ, or with the one that cannot be written
 */
export async function writeNodeFiles(
  root: string,
  files: readonly NodeFile[],
  force: boolean,
): Promise<readonly WrittenFile[]> {
  const targets = await Promise.all(
    files.map(async (file) => {
      const path = join(root, file.path)
      const there = await contentOf(path)
      return { file, path, isNew: there !== file.content, isThere: there !== undefined }
    }),
  )
  const differing = targets.filter(({ isNew, isThere }) => isNew && isThere)
  if (differing.length > 0 && !force) {
    const lines = differing.map(({ path }) => `${path}: is there, and is another`)
    throw new ExitError(
      1,
      [...lines, 'nothing was written: merge them by hand, or say --force'].join('\n'),
    )
  }
  for (const { file, path, isNew } of targets) if (isNew) await put(path, file)
  return targets.map(({ path, isNew }) => ({ path, isNew }))
}

async function contentOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw new ExitError(1, `cannot read ${path}: ${cause.code}`, { cause })
  })
}

/** In one step: a runtime may read it at any time. */
async function put(path: string, { content, mode }: NodeFile): Promise<void> {
  const beside = `${path}.larder-new`
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(beside, content, { mode })
    await rename(beside, path)
  } catch (cause) {
    await rm(beside, { force: true })
    throw new ExitError(1, `cannot write ${path}: ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
    })
  }
}
