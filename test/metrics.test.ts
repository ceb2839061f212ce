import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Metrics } from '../src/metrics.ts'

const STORE = {
  bytes: 1,
  blobs: 1,
  manifests: 1,
  tags: 1,
  quotaBytes: 1,
  filesystemBytes: 1,
  availableBytes: 1,
}

test('pins are told by whether everything they need is here', async () => {
  const metrics = new Metrics({ version: '1' }, [])
  const readings = { store: async () => STORE, flights: () => new Map() }
  metrics.readFrom(readings)
  assert.doesNotMatch(await metrics.render(), /^larder_pins\{/m)
  const pins = async () => ({ pinnedBytes: 300, complete: 2, incomplete: 1 })
  metrics.readFrom({ ...readings, pins })
  const text = await metrics.render()
  assert.match(text, /^larder_store_pinned_bytes 300$/m)
  assert.match(text, /^larder_pins\{state="complete"\} 2$/m)
  assert.match(text, /^larder_pins\{state="incomplete"\} 1$/m)
})
