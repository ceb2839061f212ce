import { lstat, readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'

import { BUNDLE_FILE } from '../airgap/bundle/bundle.ts'
import { ArchiveError } from '../airgap/bundle/errors.ts'
import { INDEX_FILE, LAYOUT_FILE } from '../airgap/bundle/layout.ts'
import { type TarFile, writeTar } from '../airgap/bundle/tar-writing.ts'
import { ExitError } from './exit.ts'
import { readPieces } from './file-pieces.ts'

const EXIT_USAGE = 2
const ALGORITHMS = ['sha256', 'sha512'] as const

/** An image layout in a folder, as one archive. */
export interface LayoutFolder {
  /** Bytes of its files. */
  readonly size: number
  open(): AsyncIterable<Uint8Array>
}

/**
 * Only what a layout has by its specification is read, and no link is followed.
 *
 * @throws {ExitError} 2: it is no image layout
 * @throws {ArchiveError} something of it is a link or no file
 */
export async function openLayoutFolder(path: string): Promise<LayoutFolder> {
  const names = new Set(await readdir(path))
  if (!names.has(INDEX_FILE)) {
    const message = `${path} is no image layout: it has no ${INDEX_FILE}`
    throw new ExitError(EXIT_USAGE, message)
  }
  const files: TarFile[] = []
  for (const name of [BUNDLE_FILE, LAYOUT_FILE, INDEX_FILE]) {
    if (names.has(name)) files.push(await fileOf(path, name))
  }
  for (const algorithm of ALGORITHMS) {
    const folder = join('blobs', algorithm)
    for (const name of await list(join(path, folder))) {
      if (/^[0-9a-f]{64,128}$/.test(name)) files.push(await fileOf(path, `${folder}/${name}`))
    }
  }
  const size = files.reduce((sum, file) => sum + file.size, 0)
  return { size, open: () => writeTar(files) }
}

async function fileOf(root: string, name: string): Promise<TarFile> {
  const path = join(root, name)
  const stats = await lstat(path)
  if (!stats.isFile()) {
    throw new ArchiveError(
      `${relative(root, path)} in the image layout is no file: no link is followed`,
    )
  }
  const { size } = stats
  return { name, size, content: () => readPieces(path, size) }
}

async function list(path: string): Promise<readonly string[]> {
  try {
    const isFolder = (await lstat(path)).isDirectory()
    if (!isFolder) throw new ArchiveError(`${path} is no folder: no link is followed`)
    return (await readdir(path)).sort()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
