import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { type RunningLarder, startLarder } from '../support/larder.ts'
import { makeTempDir, type TempDir } from '../support/temp-dir.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import { type Containerd, startContainerd } from './containerd.ts'
import { metric, until } from './metrics.ts'
import { type Podman, preparePodman } from './podman.ts'
import { run } from './programs.ts'
import { countGets, type RealRegistry, startRealRegistry } from './real-registry.ts'
import { makeImage } from './site.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const OURS = { upstream: 'reg' }
const WAYS = ['fallback', 'alone'] as const

let dir: TempDir
let registry: RealRegistry
let larder: RunningLarder
/** What `larder node-config` gets besides the runtime. */
let args: readonly string[]
const nodes: { containerd: Containerd; podman: Podman }[] = []

before(async () => {
  dir = await makeTempDir('larder-e2e-node-config-')
  const [certFile, keyFile] = [join(dir.path, 'tls.crt'), join(dir.path, 'tls.key')]
  await writeFile(certFile, LOOPBACK_CERT)
  await writeFile(keyFile, LOOPBACK_KEY)
  registry = await startRealRegistry()
  for (const tag of ['ctr', 'cri', 'podman', 'ctr-late', 'cri-late', 'podman-late']) {
    await registry.push('team/app', tag, makeImage(`node-config ${tag}`))
  }
  larder = await startLarder({
    server: { tls: { certFile, keyFile } },
    // The port is part of a folder's name and of a prefix, and cannot be one of a path.
    upstreams: [{ name: 'reg', match: ['reg.test:8443', 'reg.test'], url: registry.url }],
  })
  args = ['-c', larder.configFile, '--url', larder.url, '--ca', certFile]
  for (const way of WAYS) {
    const node = { containerd: await startContainerd(), podman: await preparePodman() }
    nodes.push(node)
    const more = way === 'fallback' ? [] : ['--no-fallback']
    await command('containerd', ...more, '--write', node.containerd.root)
    await command('podman', ...more, '--write', node.podman.root)
  }
})

after(async () => {
  for (const { containerd, podman } of nodes) {
    await podman[Symbol.asyncDispose]()
    await containerd[Symbol.asyncDispose]()
  }
  await larder?.close()
  await registry?.stop()
  await dir?.remove()
})

function command(runtime: string, ...more: readonly string[]): Promise<string> {
  return run(process.execPath, [MAIN, 'node-config', runtime, ...args, ...more])
}

/** The same by each runtime: ctr, the kubelet's call, podman. */
async function pullBy(node: number, how: 'ctr' | 'cri' | 'podman', tag: string): Promise<void> {
  const reference = `reg.test:8443/team/app:${tag}`
  const found = nodes[node]
  assert(found)
  if (how === 'ctr') await found.containerd.pull(reference)
  else if (how === 'cri') await found.containerd.cri.pullImage(reference)
  else await found.podman.pull(reference)
}

for (const [index, way] of WAYS.entries()) {
  for (const how of ['ctr', 'cri', 'podman'] as const) {
    test(`${how} pulls through Larder over TLS (${way})`, async () => {
      await registry.forget()
      const before = await metric(larder, 'larder_requests_total', OURS)
      await pullBy(index, how, how)
      // A manifest, and each of its three blobs.
      await until(larder, 'larder_requests_total', before + 4, OURS)
      const fetched = countGets(await registry.requests(), 'blobs')
      assert.equal(fetched, way === 'fallback' ? 3 : 0, 'by Larder once, for both nodes')
    })
  }
}

describe('when Larder is down', () => {
  before(async () => {
    await larder.close()
  })

  for (const how of ['ctr', 'cri', 'podman'] as const) {
    test(`${how} pulls from the registry itself, as the fallback says`, async () => {
      await registry.forget()
      await pullBy(0, how, `${how}-late`)
      assert.notEqual(countGets(await registry.requests(), 'blobs'), 0)
    })

    test(`${how} fails with --no-fallback, and the registry hears nothing`, async () => {
      await registry.forget()
      await assert.rejects(pullBy(1, how, `${how}-late`), /connection refused|connect/i)
      assert.deepEqual(await registry.requests(), [])
    })
  }
})
