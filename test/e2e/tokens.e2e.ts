import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'

import { send } from '../support/http-client.ts'
import { startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { metric } from './metrics.ts'
import { PASSWORD, startRealRegistry, USER } from './real-registry.ts'
import { makeImage } from './site.ts'
import { skopeoCopy, skopeoRaw } from './skopeo.ts'
import type { GivenToken, TokenServer } from './token-server.ts'

const PULLS = 200
const ROUNDS = 4
const REPOSITORIES = ['team/one', 'team/other']
const TAGS = ['v1', 'v2', 'v3', 'v4', 'v5']
/** Each of its own: whoever asks the same at the same time is told the same, for one request. */
const LINES = REPOSITORIES.flatMap((repository) => TAGS.map((tag) => `${repository}:${tag}`))

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
    for (const tag of TAGS) await registry.push(repository, tag, image)
  }
  // Those before are for the pushes.
  const first = tokens.given.length
  const startedAt = Date.now()
  for (const repository of REPOSITORIES) await skopeoCopy(`${host}/reg.test/${repository}:v1`)
  await registry.forget()

  const get = async (path: string) => (await send(larder.url, path)).body.toString()
  let pulled = 0
  for (let round = 0; round < ROUNDS; round++) {
    const pulls = LINES.map(async (line) => {
      const [repository, tag] = line.split(':')
      const path = `/v2/${repository}/manifests/${tag}?ns=reg.test`
      for (let i = 0; i < PULLS / ROUNDS / LINES.length; i++) {
        // A process each time would tell more of this machine than of Larder.
        const raw = i === 0 ? await skopeoRaw(`${host}/reg.test/${line}`) : await get(path)
        assert.equal(raw, image.manifest.bytes.toString())
        pulled++
      }
    })
    await Promise.all(pulls)
    if (round < ROUNDS - 1) await ended(tokens)
  }

  assert.equal(pulled, PULLS)
  const seconds = (Date.now() - startedAt) / 1000
  const answered = (await registry.requests()).filter(({ status }) => status === 200)
  assert.equal(answered.length, PULLS, 'each pull asked once')
  const all = tokens.given.slice(first)
  for (const repository of REPOSITORIES) {
    const scope = `repository:${repository}:pull`
    const given: readonly GivenToken[] = all.filter((token) => token.scope === scope)
    const text = JSON.stringify(given)
    for (const [i, { at }] of given.slice(1).entries()) {
      assert.ok(at >= (given[i]?.endsAt ?? 0), `one came before the end of the last: ${text}`)
    }
    assert.ok(given.length <= Math.ceil(seconds) + 1, `too many in ${seconds} s: ${text}`)
    assert.ok(given.length >= ROUNDS, `they have not run out: ${text}`)
  }
  const fetched = { result: 'fetched' }
  const counted = await metric(larder, 'larder_upstream_token_requests_total', fetched)
  assert.equal(counted, all.length, JSON.stringify(all))
})

/** Settles when the registry takes none of the tokens any more that were given out. */
async function ended({ given }: TokenServer): Promise<void> {
  const endsAt = Math.max(...given.map((token) => token.endsAt))
  while (Date.now() <= endsAt) await delay(endsAt - Date.now() + 1)
}
