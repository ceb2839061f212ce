import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'

import { startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { metric } from './metrics.ts'
import { PASSWORD, startRealRegistry, USER } from './real-registry.ts'
import { makeImage } from './site.ts'
import { skopeoCopy, skopeoRaw } from './skopeo.ts'
import type { GivenToken, TokenServer } from './token-server.ts'

const PULLS = 200
const ROUNDS = 4
const AT_ONCE = 10
const REPOSITORIES = ['team/one', 'team/other']

test('200 pulls across tokens that live a second ask for one only when it is needed', async () => {
  await using dir = await makeTempDir('larder-e2e-tokens-')
  const passwordFile = join(dir.path, 'password')
  await writeFile(passwordFile, PASSWORD, { mode: 0o600 })
  await using registry = await startRealRegistry('token', { lifeSeconds: 1 })
  const { tokens } = registry
  assert.ok(tokens)
  const upstream = {
    name: 'reg.test',
    url: registry.url,
    access: 'shared',
    credentials: [{ username: USER, passwordFile }],
    trustedRealms: [new URL(tokens.realm).origin],
    // Each pull asks the registry whether the tag has moved.
    tags: [{ match: '*', pullPolicy: 'Always' }],
  }
  await using larder = await startLarder({ upstreams: [upstream] })
  const { host } = new URL(larder.url)
  const image = makeImage('short-lived')
  for (const repository of REPOSITORIES) {
    await registry.push(repository, 'v1', image)
    await skopeoCopy(`${host}/reg.test/${repository}:v1`)
  }
  await registry.forget()
  const isOfLarder = ({ scope }: GivenToken) => scope.endsWith(':pull')
  const before = tokens.given.filter(isOfLarder).length
  const startedAt = Date.now()

  let pulled = 0
  for (let round = 0; round < ROUNDS; round++) {
    const lines = Array.from({ length: AT_ONCE }, async (_, line) => {
      for (let i = 0; i < PULLS / ROUNDS / AT_ONCE; i++) {
        const repository = REPOSITORIES[(line + i) % REPOSITORIES.length]
        const raw = await skopeoRaw(`${host}/reg.test/${repository}:v1`)
        assert.equal(raw, image.manifest.bytes.toString())
        pulled++
      }
    })
    await Promise.all(lines)
    if (round < ROUNDS - 1) await ended(tokens)
  }

  assert.equal(pulled, PULLS)
  const seconds = (Date.now() - startedAt) / 1000
  const asked = await registry.requests()
  assert.ok(asked.filter(({ status }) => status === 200).length >= PULLS, 'each pull asked')
  for (const repository of REPOSITORIES) {
    const given = tokens.given.filter(({ scope }) => scope === `repository:${repository}:pull`)
    for (const [i, token] of given.entries()) {
      const previous = given[i - 1]
      if (previous === undefined) continue
      assert.ok(token.at >= previous.endsAt, `a token too many: ${JSON.stringify(given)}`)
    }
    assert.ok(given.length >= ROUNDS, 'the tokens did run out')
    assert.ok(given.length <= Math.ceil(seconds) + 2, JSON.stringify(given))
  }
  const all = tokens.given.filter(isOfLarder).length
  assert.ok(all - before >= (ROUNDS - 1) * REPOSITORIES.length)
  const fetched = { result: 'fetched' }
  assert.equal(await metric(larder, 'larder_upstream_token_requests_total', fetched), all)
})

/** Settles when the registry takes none of the tokens any more that were given out. */
async function ended({ given }: TokenServer): Promise<void> {
  const endsAt = Math.max(...given.map((token) => token.endsAt))
  while (Date.now() <= endsAt) await delay(endsAt - Date.now() + 1)
}
