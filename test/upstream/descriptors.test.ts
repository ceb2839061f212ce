import assert from 'node:assert/strict'
import { test } from 'node:test'

import { createLogger } from '../../src/log.ts'
import { RegistryError } from '../../src/oci/errors.ts'
import { toRegistryError } from '../../src/pull/failures.ts'
import { Circuits } from '../../src/upstream/circuits.ts'
import { toUpstreamError } from '../../src/upstream/failures.ts'
import { Retry } from '../../src/upstream/retry.ts'
import { systemError } from '../support/fs-faults.ts'
import { StandingClock } from '../support/standing-clock.ts'
import { failure } from './client.ts'

const ENDPOINT = { key: 'a', authoritative: true }

for (const code of ['EMFILE', 'ENFILE', 'ECONNREFUSED']) {
  const isOurs = code !== 'ECONNREFUSED'
  const verdict = isOurs ? 'says nothing of' : 'opens the circuit of'
  test(`${code} for each connection ${verdict} a registry`, async () => {
    const { retry, circuits } = openRetry()
    const error = toUpstreamError('test', systemError(code))
    const connect = async () => {
      throw error
    }
    for (let at = 0; at < 10; at++) await assert.rejects(retry.once(ENDPOINT, connect))
    assert.equal(circuits.state, isOurs ? 'closed' : 'open')
  })
}

test('who finds no descriptor for his pull is told to come back', () => {
  const error = toUpstreamError('test', systemError('EMFILE'))
  assert.ok(failure('unreachable', 'descriptors')(error))
  const shown = toRegistryError(error, 'blob')
  assert.ok(shown instanceof RegistryError)
  assert.equal(shown.status, 503)
  assert.deepEqual(shown.headers, { 'Retry-After': '1' })
})

function openRetry() {
  const clock = new StandingClock()
  const ignore = () => undefined
  const observe = {
    request: ignore,
    rateLimit: ignore,
    error: ignore,
    retry: ignore,
    circuit: ignore,
    waiting: ignore,
    token: ignore,
    credentialExpiry: ignore,
  }
  const common = { upstream: 'test', clock, observe }
  const logger = createLogger({ level: 'silent', format: 'json' })
  const circuits = new Circuits([ENDPOINT.key], { ...common, logger })
  const times = { connectTimeoutMs: 1_000, random: () => 0, sleep: async () => undefined }
  return { circuits, retry: new Retry({ ...common, circuits, ...times }) }
}
