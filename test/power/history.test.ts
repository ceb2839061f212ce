import assert from 'node:assert/strict'
import { test } from 'node:test'

import { stateAt } from './disk-state.ts'
import { History } from './history.ts'
import { parseSystemCalls } from './system-calls.ts'

const hex = (text: string) =>
  `"${[...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"`

function historyOf(...lines: readonly string[]): History {
  const history = new History({ root: '/disk', marks: '/marks' })
  history.add(parseSystemCalls(lines))
  return history
}

test('calls of two threads are told apart, and each counts once it has returned', () => {
  const open = `openat(AT_FDCWD, ${hex('/disk/a, b')}, O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 7`
  const history = historyOf(
    `11  ${open}`,
    `11  pwrite64(7, ${hex('first')}, 5, 0 <unfinished ...>`,
    `12  fsync(7 <unfinished ...>`,
    `11  <... pwrite64 resumed>)             = 5`,
    `12  <... fsync resumed>)                = 0`,
  )
  const [, write] = history.disk.changes
  assert.equal(write?.at, 4)
  assert.equal(write?.durableAt, Number.POSITIVE_INFINITY)
  const state = stateAt(history.disk, history.end, () => ({ kind: 'whole' }))
  assert.equal(state.get('a, b')?.bytes.toString(), 'first')
})

test('a number that is closed is free for another file before the close has returned', () => {
  const history = historyOf(
    `11  openat(AT_FDCWD, ${hex('/disk/one')}, O_RDWR|O_CREAT, 0600) = 7`,
    `11  close(7 <unfinished ...>`,
    `12  openat(AT_FDCWD, ${hex('/disk/two')}, O_RDWR|O_CREAT, 0600) = 7`,
    `11  <... close resumed>)               = 0`,
    `12  pwritev(7, [{iov_base=${hex('2')}, iov_len=1}], 1, 0) = 1`,
    `12  rename(${hex('/disk/two')}, ${hex('/disk/three')}) = 0`,
    `12  unlink(${hex('/disk/nothing')}) = -1 ENOENT (No such file or directory)`,
  )
  const state = stateAt(history.disk, history.end, () => ({ kind: 'whole' }))
  assert.deepEqual([...state.keys()], ['one', 'three'])
  assert.equal(state.get('three')?.bytes.toString(), '2')
})

test('what the process says has its place among what it does', () => {
  const history = historyOf(
    `11  openat(AT_FDCWD, ${hex('/marks')}, O_WRONLY|O_CREAT|O_APPEND, 0666) = 9`,
    `11  mkdir(${hex('/disk/data')}, 0700) = 0`,
    `11  pwrite64(9, ${hex('made')}, 4, 0) = 4`,
  )
  assert.deepEqual(history.marks, [{ at: 3, text: 'made' }])
  assert.equal(history.disk.changes[0]?.at, 2)
})

test('a call that nobody has thought of is an error, not a gap', () => {
  const call = `11  fallocate(7, 0, 0, 100) = 0`
  assert.throws(() => historyOf(call), /what fallocate\(7, 0, 0, 100\) does is not known/)
})
