/** What nodes need to pull through this very instance. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { NODE_CONFIG } from '../../src/admin/answers/node-config.ts'
import { RUNTIMES } from '../../src/node-config/render.ts'
import { startTestApp } from '../support/app.ts'
import { send } from '../support/http-client.ts'
import { jsonOf } from './site.ts'

const UPSTREAM = { name: 'ghcr.io', url: 'https://ghcr.io' }

test('the files of each runtime name the host that was asked, and the port that listens', async () => {
  await using app = await startTestApp({ upstreams: [UPSTREAM] })
  const get = async (query: string, headers = {}) =>
    send(app.adminUrl, `/api/v1/node-config?${query}`, { headers })
  for (const runtime of RUNTIMES) {
    const found = NODE_CONFIG.parse(jsonOf(await get(`runtime=${runtime}`)))
    assert.equal(found.server, `http://127.0.0.1:${app.port}`)
    assert.deepEqual(found.runtimes, RUNTIMES)
    const text = found.files.map(({ content }) => content).join('\n')
    assert.ok(text.includes(`127.0.0.1:${app.port}`), runtime)
  }
  const named = NODE_CONFIG.parse(
    jsonOf(await get('runtime=containerd&server=https://larder.example:5000&fallback=false')),
  )
  const [file] = named.files
  assert.ok(file)
  assert.ok(file.path.endsWith('/ghcr.io/hosts.toml'))
  assert.match(file.content, /https:\/\/larder\.example:5000/)
  for (const [query, message] of [
    ['runtime=none', /expected one of containerd, crio/],
    ['runtime=containerd&server=ftp://x', /has to be http:\/\/ or https:\/\//],
    ['', /runtime/],
    ['runtime=containerd&fallback=perhaps', /fallback/],
  ] as const) {
    const { status, body } = await get(query)
    assert.equal(status, 400, query)
    assert.match(body.toString(), message)
  }
  const whole = NODE_CONFIG.parse(jsonOf(await get('runtime=containerd&everything=true')))
  assert.deepEqual(
    whole.files.map(({ path }) => path),
    ['/etc/containerd/certs.d/_default/hosts.toml'],
  )
  const local = NODE_CONFIG.parse(jsonOf(await get('runtime=docker', { Host: 'localhost:1' })))
  assert.equal(local.server, `http://localhost:${app.port}`)
})
