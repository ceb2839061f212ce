import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { DataDirectoryError, DataDirectoryInUseError } from '../../src/store/errors.ts'
import { acquireLock } from '../../src/store/lock.ts'
import { makeTempDir } from '../support/temp-dir.ts'

/** Another process that holds the lock, once this resolves, until it is killed. */
async function startHolder(path: string): Promise<ChildProcess> {
  const script = `
    import { acquireLock } from ${JSON.stringify(import.meta.resolve('../../src/store/lock.ts'))}
    globalThis.lock = acquireLock(${JSON.stringify(path)})
    process.stdout.write('held')
    setInterval(() => {}, 1000)`
  const stdio = ['ignore', 'pipe', 'inherit'] as const
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: [...stdio],
  })
  assert.ok(child.stdout)
  const [said] = await once(child.stdout, 'data')
  assert.equal(String(said), 'held')
  return child
}

test('a directory has one owner, until it is released', async () => {
  await using dir = await makeTempDir()
  const path = join(dir.path, 'new', 'data')
  const lock = acquireLock(path)
  assert.throws(() => acquireLock(path), DataDirectoryInUseError)
  lock.release()
  lock.release()
  acquireLock(path).release()
})

test('two directories have an owner each', async () => {
  await using dir = await makeTempDir()
  const locks = ['a', 'b'].map((name) => acquireLock(join(dir.path, name)))
  for (const lock of locks) lock.release()
})

test('a second process is refused in a sentence, and let in at once after kill -9 of the first', async () => {
  await using dir = await makeTempDir()
  const holder = await startHolder(dir.path)
  try {
    assert.throws(
      () => acquireLock(dir.path),
      (error) => {
        assert.ok(error instanceof DataDirectoryInUseError)
        assert.equal(error.path, dir.path)
        assert.match(error.message, /data directory .* is in use by another process/)
        return true
      },
    )
  } finally {
    holder.kill('SIGKILL')
  }
  await once(holder, 'exit')
  acquireLock(dir.path).release()
})

test('a lock file with something in it is a lock file still', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'lock')
  await writeFile(file, 'pid 4711\n'.repeat(200))
  const lock = acquireLock(dir.path)
  assert.throws(() => acquireLock(dir.path), DataDirectoryInUseError)
  lock.release()
  assert.equal((await readFile(file)).length, 0)
})

test('a directory that cannot be written is an error that names it', async () => {
  await using dir = await makeTempDir()
  await writeFile(join(dir.path, 'file'), '')
  await mkdir(join(dir.path, 'taken', 'lock'), { recursive: true })
  for (const name of ['file', 'file/data', 'taken']) {
    assert.throws(
      () => acquireLock(join(dir.path, name)),
      (error) => {
        assert.ok(error instanceof DataDirectoryError)
        assert.ok(error.message.includes(join(dir.path, name)))
        return true
      },
    )
  }
})
