import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Attempts } from '../../src/access/attempts.ts'
import { TestClock } from './clock.ts'

function attemptsOf(perMinute: number) {
  const clock = new TestClock()
  const attempts = new Attempts({ perMinute, monotonic: () => clock.elapsed() })
  const fail = (address: string) =>
    attempts.make(
      address,
      async () => 'wrong',
      () => true,
    )
  const succeed = (address: string) =>
    attempts.make(
      address,
      async () => 'right',
      () => false,
    )
  return { clock, attempts, fail, succeed }
}

const LIMITED = { code: 'TOOMANYREQUESTS', status: 429 }

test('only failures count', async () => {
  const { attempts, fail, succeed } = attemptsOf(2)
  for (let i = 0; i < 10; i++) assert.equal(await succeed('10.0.0.1'), 'right')
  const breaks = async () => {
    throw new Error('the registry is down')
  }
  for (let i = 0; i < 10; i++) {
    await assert.rejects(
      attempts.make('10.0.0.1', breaks, () => true),
      /down/,
    )
  }
  await fail('10.0.0.1')
  await fail('10.0.0.1')
  await assert.rejects(fail('10.0.0.1'), LIMITED)
  await assert.rejects(succeed('10.0.0.1'), { ...LIMITED, headers: { 'Retry-After': '30' } })
})

test('addresses have nothing to do with each other, save those of one IPv6 network', async () => {
  const { fail } = attemptsOf(1)
  await fail('10.0.0.1')
  await fail('10.0.0.2')
  await assert.rejects(fail('::ffff:10.0.0.1'), LIMITED)
  await fail('2001:db8::1')
  await assert.rejects(fail('2001:db8::2'), LIMITED)
  await assert.rejects(fail('2001:db8:0:0:ffff::'), LIMITED)
  await fail('2001:db8:0:1::1')
  await fail('::1')
  await fail('fe80::1%eth0')
  await assert.rejects(fail('fe80::2%eth0'), LIMITED)
})

test('what is remembered has a bound', async () => {
  const { fail } = attemptsOf(1)
  for (let i = 0; i < 10_001; i++) await fail(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
  await fail('10.0.0.0')
  await assert.rejects(fail('10.0.39.16'), LIMITED)
})
