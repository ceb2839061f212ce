import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { ArchiveError } from '../airgap/bundle/errors.ts'
import { ExitError } from './exit.ts'
import { checksumsPath, volumePath } from './export-target.ts'
import { readPieces } from './file-pieces.ts'

const EXIT_USAGE = 2
const CHECKSUM_LINE = /^(\\?)([0-9a-f]{64}) [ *](.+)$/
/** `bundle.tar.zst.001` */
const VOLUME = /^(.+)\.(\d{3,})$/

/** A file that is the next part of an archive. */
export interface Volume {
  readonly path: string
  /** Hexadecimal; `undefined`: nobody has written it down. */
  readonly sha256: string | undefined
}

/** What of a name is the archive's, and which of its volumes it is; `undefined`: it is whole. */
export function parseVolume(
  path: string,
): { readonly archive: string; readonly number: number } | undefined {
  const [, archive, number] = VOLUME.exec(path) ?? []
  return archive === undefined ? undefined : { archive, number: Number(number) }
}

/**
 * The volumes of an archive in their order, those beside the ones that are named included.
 *
 * @param paths some of them, in any order, perhaps in several folders
 * @throws {ExitError} 2: one is missing, and which
 */
export async function findVolumes(archive: string, paths: readonly string[]): Promise<Volume[]> {
  const byNumber = new Map<number, string>()
  const sums = new Map<string, string>()
  for (const folder of new Set([archive, ...paths].map((path) => dirname(path)))) {
    const name = basename(archive)
    for (const [file, sha256] of await readChecksums(join(folder, name))) sums.set(file, sha256)
    for (const file of await readdir(folder)) {
      const volume = parseVolume(file)
      if (volume?.archive === name) byNumber.set(volume.number, join(folder, file))
    }
  }
  // Who is named is meant, whatever lies beside another one.
  for (const path of paths) byNumber.set(parseVolume(path)?.number ?? 0, path)
  const numbers = [...sums.keys()].map((file) => parseVolume(file)?.number ?? 0)
  const last = Math.max(...byNumber.keys(), ...numbers)
  const volumes: Volume[] = []
  for (let number = 1; number <= last; number++) {
    const path = byNumber.get(number)
    if (path === undefined) {
      const missing = basename(volumePath(archive, number))
      throw new ExitError(
        EXIT_USAGE,
        `${missing} is missing: name it too, or put it beside the others`,
      )
    }
    volumes.push({ path, sha256: sums.get(basename(path)) })
  }
  return volumes
}

/** A file that is an archive by itself. */
export async function wholeFile(path: string): Promise<Volume> {
  const sums = await readChecksums(path)
  return { path, sha256: sums.get(basename(path)) }
}

/**
 * The bytes of volumes, one after the other. What is the last of each is held back until its sum is
 * known to be right: nobody gets to the end of what is not what was written. A piece is lent until
 * the one after the next is asked for.
 *
 * @throws {ArchiveError} a sum is another
 */
export async function* readVolumes(
  volumes: readonly Volume[],
): AsyncGenerator<Buffer, void, undefined> {
  for (const { path, sha256 } of volumes) {
    const hash = sha256 === undefined ? undefined : createHash('sha256')
    let held: Buffer | undefined
    for await (const bytes of readPieces(path)) {
      hash?.update(bytes)
      if (held !== undefined) yield held
      held = bytes
    }
    const actual = hash?.digest('hex')
    if (actual !== sha256) {
      const message = `${basename(path)} is damaged: its checksum is ${actual}, not ${sha256}`
      throw new ArchiveError(message)
    }
    if (held !== undefined) yield held
  }
}

/** By file name, as `sha256sum` writes them; none where there is no such file. */
async function readChecksums(archive: string): Promise<ReadonlyMap<string, string>> {
  const sums = new Map<string, string>()
  for (const path of [checksumsPath(archive), join(dirname(archive), 'SHA256SUMS')]) {
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (isAbsent(error)) return ''
      throw error
    })
    for (const line of text.split('\n')) {
      const [, escaped, sha256, name] = CHECKSUM_LINE.exec(line.trimEnd()) ?? []
      if (sha256 === undefined || name === undefined) continue
      const file = escaped === '' ? name : unescaped(name)
      const isOurs = file === basename(archive) || parseVolume(file)?.archive === basename(archive)
      if (isOurs && !sums.has(file)) sums.set(file, sha256)
    }
  }
  return sums
}

function unescaped(name: string): string {
  const meanings: Readonly<Record<string, string>> = { n: '\n', r: '\r', '\\': '\\' }
  return name.replace(/\\(.)/g, (_, character: string) => meanings[character] ?? character)
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
