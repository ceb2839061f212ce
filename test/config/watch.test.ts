import assert from 'node:assert/strict'
import { appendFile, mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { loadConfig } from '../../src/config/load.ts'
import { ConfigWatch } from '../../src/config/watch.ts'
import { makeTempDir } from '../support/temp-dir.ts'

/** So rarely that only the test looks. */
const NEVER_BY_ITSELF = 2 ** 31 - 1

interface Watched extends AsyncDisposable {
  readonly directory: string
  readonly file: string
  readonly watch: ConfigWatch
  /** Changes told of so far. */
  readonly changes: () => number
  readonly look: (times: number) => Promise<void>
}

/** Watches a file that was loaded already; `prepare` puts it there. */
async function watchFile(
  prepare: (directory: string) => Promise<void> = (directory) =>
    writeFile(join(directory, 'larder.yaml'), 'offline: false'),
): Promise<Watched> {
  const dir = await makeTempDir('larder-watch-')
  await prepare(dir.path)
  const file = join(dir.path, 'larder.yaml')
  const { stamp } = await loadConfig({ file, env: {}, cwd: dir.path })
  let changes = 0
  const onChange = () => changes++
  const watch = new ConfigWatch({ file, stamp, onChange, everyMs: NEVER_BY_ITSELF })
  return {
    directory: dir.path,
    file,
    watch,
    changes: () => changes,
    look: async (times) => {
      for (let time = 0; time < times; time++) await watch.look()
    },
    [Symbol.asyncDispose]: async () => {
      watch.close()
      await dir.remove()
    },
  }
}

/** As a kubelet lays out a volume: larder.yaml → ..data/larder.yaml, ..data → ..<version>. */
async function mountConfigMap(directory: string): Promise<void> {
  await mkdir(join(directory, '..v1'))
  await writeFile(join(directory, '..v1/larder.yaml'), 'offline: false')
  await symlink('..v1', join(directory, '..data'))
  await symlink('..data/larder.yaml', join(directory, 'larder.yaml'))
}

test('a file that stays as it was loaded is no change', async () => {
  await using watched = await watchFile()
  await watched.look(5)
  assert.equal(watched.changes(), 0)
})

test('a changed file is told of once', async () => {
  await using watched = await watchFile()
  await watched.look(2)
  await writeFile(watched.file, 'offline: true')
  await watched.look(5)
  assert.equal(watched.changes(), 1)
  await writeFile(watched.file, 'offline: false')
  await watched.look(2)
  assert.equal(watched.changes(), 2)
})

test('a file that grew is a change, though its time was put back', async () => {
  await using watched = await watchFile()
  const then = new Date('2026-01-01T00:00:00Z')
  await utimes(watched.file, then, then)
  await watched.look(2)
  await appendFile(watched.file, '\nversion: 1')
  await utimes(watched.file, then, then)
  await watched.look(2)
  assert.equal(watched.changes(), 2)
})

test('what changed between the load and the first look is a change', async () => {
  await using watched = await watchFile()
  await writeFile(watched.file, 'offline: true')
  await watched.look(2)
  assert.equal(watched.changes(), 1)
})

test('a swapped ConfigMap is a change, though path, size and time are the same', async () => {
  await using watched = await watchFile(mountConfigMap)
  const { directory, file } = watched
  const then = new Date('2026-01-01T00:00:00Z')
  await utimes(file, then, then)
  await watched.look(2)
  assert.equal(watched.changes(), 1)

  await mkdir(join(directory, '..v2'))
  const next = join(directory, '..v2/larder.yaml')
  await writeFile(next, 'offline:  true')
  await utimes(next, then, then)
  await watched.look(2)
  assert.equal(watched.changes(), 1, 'not before it is swapped')
  await symlink('..v2', join(directory, '..data_tmp'))
  await rename(join(directory, '..data_tmp'), join(directory, '..data'))
  await watched.look(2)
  assert.equal(watched.changes(), 2)
})

test('a file that is being written is not told of until it rests', async () => {
  await using watched = await watchFile()
  await writeFile(watched.file, 'offline:')
  await watched.look(1)
  await appendFile(watched.file, ' tr')
  await watched.look(1)
  await appendFile(watched.file, 'ue')
  await watched.look(1)
  assert.equal(watched.changes(), 0)
  await watched.look(1)
  assert.equal(watched.changes(), 1)
})

test('a file that vanishes is no change until it is back', async () => {
  await using watched = await watchFile()
  const aside = join(watched.directory, 'aside.yaml')
  await watched.look(2)
  await rename(watched.file, aside)
  await watched.look(5)
  await rename(aside, watched.file)
  await watched.look(5)
  assert.equal(watched.changes(), 0, 'the same file, moved away and back')

  await rm(watched.file)
  await watched.look(5)
  assert.equal(watched.changes(), 0)
  await writeFile(watched.file, 'offline: true')
  await watched.look(1)
  assert.equal(watched.changes(), 0, 'it may still be written')
  await watched.look(1)
  assert.equal(watched.changes(), 1)
})

test('nothing is told of after close, not even by a look under way', async () => {
  await using watched = await watchFile()
  await writeFile(watched.file, 'offline: true')
  await watched.look(1)
  const underWay = watched.watch.look()
  watched.watch.close()
  await underWay
  await watched.look(2)
  assert.equal(watched.changes(), 0)
})

test('it looks by itself, again and again, and does not keep the process alive', async () => {
  await using dir = await makeTempDir('larder-watch-')
  const file = join(dir.path, 'larder.yaml')
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  const changed = Promise.withResolvers<void>()
  const options = { file, stamp: undefined, everyMs: 1, onChange: changed.resolve }
  const watch = new ConfigWatch(options)
  assert.equal(timers(), before)
  // Its own timer does not keep the test alive either.
  const alive = setTimeout(() => changed.reject(new Error('it did not look')), 10_000)
  try {
    await writeFile(file, 'offline: true')
    await changed.promise
  } finally {
    clearTimeout(alive)
    watch.close()
  }
})
