import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'

import { decompress } from '../airgap/bundle/decompression.ts'
import { ExitError } from './exit.ts'
import { checksumsPath, volumePath } from './export-target.ts'
import { openLayoutFolder } from './layout-folder.ts'
import { findVolumes, parseVolume, readVolumes, type Volume, wholeFile } from './volumes-reading.ts'

const EXIT_USAGE = 2
/** What `larder export` writes beside a bundle. */
const BESIDE = /\.(?:sha256|index\.json)$/

/** One archive, whatever it is made of. */
export interface ArchiveFile {
  /** As it was named. */
  readonly name: string
  /** Bytes that are read for it; `undefined`: nobody knows. */
  readonly size: number | undefined
  /** What may be the matter with it when it turns out to be damaged. */
  readonly suspicion?: string
  /** A plain tar. @param onBytes told of what was read, before it is unpacked */
  open(onBytes: (bytes: number) => void): AsyncIterable<Uint8Array>
}

export interface ArchiveSurroundings {
  readonly cwd: string
  readonly stdin: AsyncIterable<Uint8Array>
}

/**
 * What a command line names: archives, folders with an image layout, `-` for standard input, and
 * volumes, in any order, which are one archive together.
 *
 * @throws {ExitError} 2: something of it is not there
 * @throws {ArchiveError} a folder has a link where a file should be
 */
export async function findArchives(
  names: readonly string[],
  { cwd, stdin }: ArchiveSurroundings,
): Promise<readonly ArchiveFile[]> {
  const archives: ArchiveFile[] = []
  for (const [name, members] of groupsOf(new Set(names))) {
    if (name === '-') archives.push(unpacked('standard input', undefined, () => stdin))
    else archives.push(await openArchive(name, members, cwd))
  }
  return archives
}

/** Volumes of one name are one archive, from however many media; if a number comes twice, they are not. */
function groupsOf(names: ReadonlySet<string>): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, readonly string[]>()
  for (const members of Map.groupBy(names, (name) => basename(archiveOf(name))).values()) {
    const volumes = members.filter((name) => parseVolume(name) !== undefined)
    const numbers = new Set(volumes.map((name) => parseVolume(name)?.number))
    const isOne = volumes.length > 0 && numbers.size === volumes.length
    const byPath = Map.groupBy(members, archiveOf)
    const [first = ''] = byPath.keys()
    if (isOne) groups.set(first, members)
    else for (const [path, some] of byPath) groups.set(path, some)
  }
  return groups
}

/** What a volume, checksums or an index are of; everything else is by itself. */
function archiveOf(name: string): string {
  const file = name.replace(BESIDE, '')
  return parseVolume(file)?.archive ?? file
}

async function openArchive(
  name: string,
  members: readonly string[],
  cwd: string,
): Promise<ArchiveFile> {
  const path = resolve(cwd, name)
  try {
    const given = members.filter((member) => !BESIDE.test(member)).map((one) => resolve(cwd, one))
    const stats = await stat(path).catch(() => undefined)
    if (stats?.isDirectory()) return await folder(name, path)
    const isWhole = stats !== undefined && !given.some((one) => parseVolume(one) !== undefined)
    const volumes = isWhole
      ? [await wholeFile(path)]
      : await findVolumes(
          path,
          given.filter((one) => one !== path),
        )
    if (volumes.length === 0) throw new ExitError(EXIT_USAGE, `${name}: no such file`)
    const sizes = await Promise.all(volumes.map(sizeOf))
    const size = sizes.reduce((sum, one) => sum + one, 0)
    const suspicion = isWhole ? undefined : suspicionOf(path, volumes)
    return {
      ...unpacked(name, size, () => readVolumes(volumes)),
      ...(suspicion === undefined ? {} : { suspicion }),
    }
  } catch (error) {
    throw whyNot(error, name)
  }
}

/** Without checksums nobody knows how many volumes there are. */
function suspicionOf(path: string, volumes: readonly Volume[]): string | undefined {
  if (volumes.some(({ sha256 }) => sha256 !== undefined)) return undefined
  const next = basename(volumePath(path, volumes.length + 1))
  return `is ${next} missing? ${basename(checksumsPath(path))} would say so`
}

async function folder(name: string, path: string): Promise<ArchiveFile> {
  const { size, open } = await openLayoutFolder(path)
  return { name, size, open: (onBytes) => counted(open(), onBytes) }
}

function unpacked(
  name: string,
  size: number | undefined,
  read: () => AsyncIterable<Uint8Array>,
): ArchiveFile {
  return { name, size, open: (onBytes) => decompress(counted(read(), onBytes)) }
}

async function sizeOf({ path }: Volume): Promise<number> {
  return (await stat(path)).size
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const bytes of source) {
    onBytes(bytes.byteLength)
    yield bytes
  }
}

function whyNot(error: unknown, name: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT') return new ExitError(EXIT_USAGE, `${name}: no such file`)
  if (code === 'EACCES') return new ExitError(EXIT_USAGE, `${name}: may not be read`)
  return error
}
