import assert from 'node:assert/strict'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { hash } from 'bcryptjs'

import { Htpasswd, parseHtpasswd } from '../../src/access/htpasswd.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { TestClock } from './clock.ts'

interface Door extends AsyncDisposable {
  readonly htpasswd: Htpasswd
  readonly clock: TestClock
  readonly errors: unknown[]
  /** Replaces the file, as a mounted Secret is. */
  write(text: string): Promise<void>
}

async function openDoor(text: string): Promise<Door> {
  const dir = await makeTempDir()
  const file = join(dir.path, 'htpasswd')
  const write = async (content: string) => {
    await writeFile(`${file}.new`, content)
    await rename(`${file}.new`, file)
  }
  await write(text)
  const clock = new TestClock()
  const errors: unknown[] = []
  const onError = (error: unknown) => void errors.push(error)
  const htpasswd = await Htpasswd.open({ file, monotonic: () => clock.elapsed(), onError })
  return { htpasswd, clock, errors, write, [Symbol.asyncDispose]: dir.remove }
}

test('right passwords are right, and remembered', async () => {
  await using door = await openDoor(`ci:${await hash('sesame', 4)}\nops:${await hash('barley', 4)}`)
  const { htpasswd } = door
  assert.equal(await htpasswd.remembers('ci', 'sesame'), false)
  assert.equal(await htpasswd.verify('ci', 'sesame'), true)
  assert.equal(await htpasswd.remembers('ci', 'sesame'), true)
  for (const [user, password] of [
    ['ci', 'barley'],
    ['ops', 'sesame'],
    ['ci', ''],
    ['', 'sesame'],
    ['nobody', 'sesame'],
  ] as const) {
    assert.equal(await htpasswd.verify(user, password), false, user)
    assert.equal(await htpasswd.remembers(user, password), false, user)
  }
})

test('a changed file counts from the next look on, also for whoever is remembered', async () => {
  await using door = await openDoor(`ci:${await hash('sesame', 4)}`)
  const { htpasswd, clock } = door
  assert.equal(await htpasswd.verify('ci', 'sesame'), true)
  await door.write(`ci:${await hash('changed', 4)}\n`)
  clock.advance(1000)
  assert.equal(await htpasswd.remembers('ci', 'sesame'), false)
  assert.equal(await htpasswd.verify('ci', 'sesame'), false)
  assert.equal(await htpasswd.verify('ci', 'changed'), true)
  await door.write('# nobody\n')
  clock.advance(1000)
  assert.equal(await htpasswd.remembers('ci', 'changed'), false)
  assert.equal(await htpasswd.verify('ci', 'changed'), false)
})

test('a changed file that cannot be used is told of once, and changes nothing', async () => {
  await using door = await openDoor(`ci:${await hash('sesame', 4)}`)
  await door.write('ci:plain\n')
  for (let i = 0; i < 3; i++) {
    door.clock.advance(1000)
    assert.equal(await door.htpasswd.verify('ci', 'sesame'), true)
  }
  assert.equal(door.errors.length, 1)
  assert.match(String(door.errors[0]), /htpasswd:1: expected user:bcrypt-hash/)
  await door.write(`ci:${await hash('changed', 4)}`)
  door.clock.advance(1000)
  assert.equal(await door.htpasswd.verify('ci', 'changed'), true)
})

test('an unknown user takes as long as a known one, whatever the cost of the hashes', async () => {
  for (const cost of [4, 11]) {
    await using door = await openDoor(`ci:${await hash('sesame', cost)}`)
    const known = await medianOf(() => door.htpasswd.verify('ci', 'wrong'))
    const unknown = await medianOf(() => door.htpasswd.verify('nobody', 'wrong'))
    assert.ok(unknown < known * 5 && known < unknown * 5, `${cost}: ${known} and ${unknown} ms`)
  }
})

async function medianOf(run: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < 7; i++) {
    const began = performance.now()
    await run()
    times.push(performance.now() - began)
  }
  return times.sort((a, b) => a - b)[3] ?? 0
}

test('what is not bcrypt is an error that names the line', () => {
  const good = `$2y$05$${'a'.repeat(53)}`
  assert.deepEqual([...parseHtpasswd(`# c\n\na:${good}\r\nb:${good}\n`, 'f').keys()], ['a', 'b'])
  for (const line of ['a', ':x', 'a:', 'a:$apr1$x$y', 'a:{SHA}x', 'a:$2y$05$short']) {
    assert.throws(() => parseHtpasswd(`b:${good}\n${line}`, 'f'), /^Error: f:2: expected/, line)
  }
})
