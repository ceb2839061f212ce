import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { test } from 'node:test'

import { Programs } from '../../../src/upstream/credentials/programs.ts'
import { makeTempDir } from '../../support/temp-dir.ts'
import { FakeProgram, programsIn } from './site.ts'

const PATIENT_MS = 30_000

function run(file: string, given: { input?: string; timeoutMs?: number } = {}) {
  const { input = '', timeoutMs = PATIENT_MS } = given
  const env = { EXTRA: 'x' }
  return new Programs(programsIn()).run({
    name: 'fake',
    file,
    args: ['get', '$HOME; echo'],
    env,
    input,
    timeoutMs,
  })
}

test('a program gets its input, its arguments as they are, and no environment but what is said', async () => {
  await using dir = await makeTempDir()
  const program = await FakeProgram.write(dir.path, 'fake', 'pwd; echo canary >&2; exit 3')
  assert.deepEqual(await run(program.file, { input: 'in' }), { exitCode: 3, stdout: '/\n' })
  assert.equal(await program.read('input'), 'in')
  assert.equal(await program.read('args'), `${program.file} get $HOME; echo\n`)
  // The shell adds some of its own.
  const names = (await program.read('env')).split('\n').map((line) => line.split('=')[0])
  assert.deepEqual(
    names.filter((name) => !['', '_', 'PWD', 'SHLVL', 'OLDPWD'].includes(name ?? '')).sort(),
    ['EXTRA', 'HOME', 'PATH'],
  )
})

test('a program that hangs is ended, with all that it started', async () => {
  await using dir = await makeTempDir()
  const program = await FakeProgram.write(dir.path, 'fake', 'sleep 600 & echo $! > "$0.pid"; wait')
  await assert.rejects(
    run(program.file, { timeoutMs: 300 }),
    /^Error: fake did not end within 0.3 s$/,
  )
  const pid = (await readFile(`${program.file}.pid`, 'utf8')).trim()
  await ended(pid)
})

/** A process that nobody has waited for yet is still listed, as a zombie. */
async function ended(pid: string): Promise<void> {
  const endsAt = performance.now() + 5_000
  while (performance.now() < endsAt) {
    const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'gone')
    if (status === 'gone' || status.split(') ')[1]?.startsWith('Z')) return
  }
  process.kill(Number(pid))
  assert.fail('what the program started still runs')
}

test('a program that prints without end is ended', async () => {
  await using dir = await makeTempDir()
  const program = await FakeProgram.write(dir.path, 'fake', 'head -c 10000000 /dev/zero')
  await assert.rejects(run(program.file), /^Error: fake printed more than 1048576 bytes$/)
})

test('a program that does not read its input is none the worse for it', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'fake')
  await writeFile(file, '#!/bin/sh\nexec <&-\necho out\n')
  await chmod(file, 0o755)
  assert.equal((await run(file, { input: 'x'.repeat(1024 * 1024) })).stdout, 'out\n')
})

test('a program that cannot be started is named, and why', async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'fake')
  await assert.rejects(run(file), /^Error: fake cannot be started: \S+\/fake: no such file/)
  await writeFile(file, 'text')
  await assert.rejects(run(file), /it is not executable \(EACCES\)$/)
})

test('a program that is killed is an error', async () => {
  await using dir = await makeTempDir()
  const program = await FakeProgram.write(dir.path, 'fake', 'kill -9 $$')
  await assert.rejects(run(program.file), /^Error: fake was ended by SIGKILL$/)
})

test('closing ends what still runs', async () => {
  await using dir = await makeTempDir()
  const program = await FakeProgram.write(dir.path, 'fake', 'sleep 600')
  const programs = new Programs(programsIn())
  const { file } = program
  const pending = programs.run({ name: 'fake', file, args: [], input: '', timeoutMs: PATIENT_MS })
  programs.close()
  await assert.rejects(pending, /fake was ended, because Larder stops$/)
})

test('only executable files in absolute folders of PATH are found', async () => {
  await using dir = await makeTempDir()
  const program = await FakeProgram.write(dir.path, 'fake')
  await mkdir(join(dir.path, 'folder'))
  const find = (path: string | undefined, name: string) =>
    new Programs({ path, home: undefined }).find(name)
  assert.equal(await find(`/nonexistent:${dir.path}`, 'fake'), program.file)
  assert.equal(await find(dir.path, 'folder'), undefined)
  assert.equal(await find(dir.path, 'fake.answer'), undefined)
  assert.equal(await find(`${relative('', dir.path)}:`, 'fake'), undefined)
  assert.equal(await find(undefined, 'fake'), undefined)
})
