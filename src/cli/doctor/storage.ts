/** The data directory, and what it stands on. */
import { constants } from 'node:fs'
import { access, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'

import type { Space, StorageConfig } from '../../config/config.ts'
import { type Disk, measureDisk } from '../../store/quota.ts'
import { formatBytes } from '../format.ts'
import { type Finding, fail, ok, reasonOf, warn } from './finding.ts'

/** Less than this is not enough for the database and one download. */
const BARELY_BYTES = 64 * 1024 * 1024
const FEW_INODES_SHARE = 0.05

/** Linux's numbers (linux/magic.h) of what is not local, or not sure to lock and sync as SQLite needs. */
const REMOTE = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
  [0x01021997, '9p'],
  [0x00c36400, 'Ceph'],
  [0x65735546, 'FUSE'],
])

/** @param measure how large and how full the file system is */
export async function examineStorage(
  { path, minFree }: StorageConfig,
  measure: (path: string) => Promise<Disk> = measureDisk,
): Promise<readonly Finding[]> {
  const place = await existing(path)
  const owner = await examineAccess(path, place)
  try {
    const disk = await measure(place)
    return [owner, ...(await examineKind(place)), examineSpace(disk, minFree), ...inodes(disk)]
  } catch (error) {
    const advice = 'check storage.path, and whether its disk is mounted'
    return [owner, fail('disk', `${place} cannot be examined: ${reasonOf(error)}`, advice)]
  }
}

/** The directory itself, or what it will be made in. */
async function existing(path: string): Promise<string> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  )
  const parent = dirname(path)
  return isThere || parent === path ? path : existing(parent)
}

async function examineAccess(path: string, place: string): Promise<Finding> {
  const { W_OK, X_OK } = constants
  try {
    const { mode, uid } = await stat(place)
    if ((mode & constants.S_IFMT) !== constants.S_IFDIR) {
      return fail('data', `${place} is not a directory`, 'set storage.path to one')
    }
    const mayWrite = await access(place, W_OK | X_OK).then(
      () => true,
      () => false,
    )
    const me = process.getuid?.()
    if (!mayWrite) {
      const detail = `${place} belongs to uid ${uid}, and uid ${me} may not write there`
      return fail('data', detail, `run this as the server's user, or: chown -R ${me} ${place}`)
    }
    return ok('data', place === path ? `${path} can be written` : `${path} will be made`)
  } catch (error) {
    const advice = 'check storage.path and the permissions of the folders above it'
    return fail('data', `${place}: ${reasonOf(error)}`, advice)
  }
}

async function examineKind(place: string): Promise<Finding[]> {
  const kind = REMOTE.get((await statfs(place)).type >>> 0)
  if (kind === undefined) return []
  const advice = 'use a local disk: locks and syncs of the database are not sure there'
  return [warn('file system', `${place} is on ${kind}`, advice)]
}

function examineSpace({ size, free }: Disk, minFree: Space): Finding {
  const kept = 'bytes' in minFree ? minFree.bytes : Math.floor((size * minFree.percent) / 100)
  const detail = `${formatBytes(free)} of ${formatBytes(size)} are free`
  if (free < BARELY_BYTES) {
    return fail('disk', detail, 'free some: nothing can be stored, pulls pass through')
  }
  if (free >= kept) return ok('disk', detail)
  const advice = 'free some, or images leave the cache until they are'
  return warn('disk', `${detail}, storage.minFree is ${formatBytes(kept)}`, advice)
}

function inodes({ inodes: found }: Disk): Finding[] {
  if (found === undefined) return []
  const { total, free } = found
  const detail = `${free} of ${total} inodes are free`
  if (free === 0) return [fail('inodes', detail, 'delete files on this disk: none can be made')]
  if (free >= total * FEW_INODES_SHARE) return [ok('inodes', detail)]
  return [warn('inodes', detail, 'delete files on this disk, or make its file system anew')]
}
