import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'

import { BUNDLE_FILE, BUNDLE_INDEX_SUFFIX } from '../airgap/bundle/bundle.ts'
import { INDEX_FILE, LAYOUT_FILE } from '../airgap/bundle/layout.ts'
import type { Compression } from './compressor.ts'
import { ExitError } from './exit.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 2

/** Where a bundle goes. */
export type ExportTarget = FileTarget | FolderTarget

export interface FileTarget {
  readonly kind: 'file'
  readonly path: string
  readonly compression: Compression | 'none'
  /** The most bytes of one file; `undefined`: it is one file. */
  readonly splitBytes: number | undefined
}

export interface FolderTarget {
  readonly kind: 'folder'
  readonly path: string
}

const ENDINGS: readonly (readonly [RegExp, Compression | 'none'])[] = [
  [/\.tar$/, 'none'],
  [/\.zst$|\.tzst$/, 'zstd'],
  [/\.t?gz$/, 'gzip'],
]

/** The checksums of a bundle's files, as `sha256sum --check` reads them. */
export function checksumsPath(path: string): string {
  return `${path}.sha256`
}

export function bundleIndexPath(path: string): string {
  return `${path}${BUNDLE_INDEX_SUFFIX}`
}

/** `bundle.tar.001` and so on. @param number from 1 */
export function volumePath(path: string, number: number): string {
  return `${path}.${String(number).padStart(3, '0')}`
}

/**
 * What `-o` means.
 *
 * @throws {ExitError} 2
 */
export async function parseTarget(
  output: string,
  cwd: string,
  splitBytes: number | undefined,
): Promise<ExportTarget> {
  const path = resolve(cwd, output)
  const isFolder = /[/\\]$/.test(output) || (await isDirectory(path))
  if (isFolder) {
    if (splitBytes === undefined) return { kind: 'folder', path }
    throw new ExitError(EXIT_USAGE, '--split is for a file, and -o names a folder')
  }
  const compression = ENDINGS.find(([ending]) => ending.test(output))?.[1]
  if (compression === undefined) {
    const expected = 'expected a name that ends in .tar, .tar.zst or .tar.gz, or a folder with a /'
    throw new ExitError(EXIT_USAGE, `-o ${output}: ${expected}`)
  }
  return { kind: 'file', path, compression, splitBytes }
}

/**
 * The files of an earlier bundle of that name, which the new one replaces.
 *
 * @throws {ExitError} 1 when its folder cannot be read
 */
export async function filesOf({ kind, path }: ExportTarget): Promise<readonly string[]> {
  if (kind === 'folder') {
    const names = await namesIn(path, true)
    const documents = [BUNDLE_FILE, LAYOUT_FILE, INDEX_FILE]
    return names.filter((name) => documents.includes(name)).map((name) => join(path, name))
  }
  const name = basename(path)
  const beside = [name, basename(checksumsPath(path)), basename(bundleIndexPath(path))]
  const isVolume = (other: string) =>
    other.startsWith(`${name}.`) && /^\d{3}$/.test(other.slice(name.length + 1))
  return (await namesIn(dirname(path), false))
    .filter((other) => beside.includes(other) || isVolume(other))
    .map((other) => join(dirname(path), other))
}

async function namesIn(folder: string, mayBeAbsent: boolean): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code === 'ENOENT' && mayBeAbsent) return []
    const why = code === 'ENOENT' ? 'there is no such folder' : `it cannot be read (${code})`
    throw new ExitError(EXIT_FAILURE, `${folder}: ${why}`, { cause })
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
}
