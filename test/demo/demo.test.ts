import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { FaultRegistry } from '../support/fault-registry.ts'
import { corrupt } from '../support/faults.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { type Costs, findBreaches, formatBytes, formatTable } from './costs.ts'
import { Node } from './node.ts'

const DEMO = fileURLToPath(new URL('demo.ts', import.meta.url))

test('the demo shows a cold pull, a warm one and a rollout, and leaves nothing behind', async () => {
  await using dir = await makeTempDir()
  const { code, out, err } = await runDemo(['--size', '64KiB'], dir.path)
  assert.deepEqual({ code, err }, { code: 0, err: '' }, out)
  const size = '\\d{3}\\.\\d KiB'
  assert.match(out, new RegExp(`^one node, cold +[\\d.]+ s +\\d +4 +1 +(${size}) +\\1$`, 'm'))
  assert.match(out, new RegExp(`^one node, warm +[\\d.]+ s +0 +0 +0 +0 B +${size}$`, 'm'))
  assert.match(out, /^20 nodes at once, cold +[\d.]+ s +\d +4 +1 +\d{3}\.\d KiB +7\.\d MiB$/m)
  assert.match(out, /npm start/)
  assert.deepEqual(await readdir(dir.path), [])
})

test('a size that is none, or an unknown option, is a usage error', async () => {
  for (const args of [
    ['--size', '5'],
    ['--speed', '1MiB'],
  ]) {
    const { code, out, err } = await runDemo(args)
    assert.deepEqual({ code, out }, { code: 2, out: '' }, args.join(' '))
    assert.match(err, /^--size .*512KiB.*\n$/)
  }
})

test('a node does not take a layer with one wrong byte', async () => {
  await using registry = await new FaultRegistry().start()
  const image = buildImage({ layers: [1000] })
  const layer = image.layers[0]?.digest ?? ''
  registry.add('team/shop', buildIndex([image]), '1.0')
  const name = { registry: 'any', repository: 'team/shop', tag: '1.0' }
  const signal = new AbortController().signal
  await new Node(registry.origin, signal).pull(name)
  registry.script({ path: new RegExp(layer) }, corrupt(500))
  await assert.rejects(new Node(registry.origin, signal).pull(name), {
    name: 'PullError',
    message: new RegExp(`^asked for ${layer} and got sha256:`),
  })
  registry.script({ method: 'HEAD' }, (delivery) => {
    delivery.status = 502
  })
  await assert.rejects(new Node(registry.origin, signal).pull(name), /was answered 502/)
})

test('what is not as promised is said in a sentence each', () => {
  const expected = { blobs: 4, registryBytes: 100, nodeBytes: 200 }
  const good = costs({ blobs: 4, registryBytes: 100, nodeBytes: 200, manifests: 3 })
  assert.deepEqual(findBreaches(good, expected), [])
  assert.deepEqual(findBreaches({ ...good, blobs: 80, registryBytes: 2000 }, expected), [
    'x: blobs that the registry was asked for: 80, not 4',
    'x: bytes that it sent: 2000, not 100',
  ])
  assert.deepEqual(findBreaches({ ...good, nodeBytes: 199 }, expected), [
    'x: bytes that the nodes got: 199, not 200',
  ])
  const warm = { blobs: 0, registryBytes: 0, nodeBytes: 200 }
  assert.deepEqual(findBreaches(costs({ ...warm, manifests: 1 }), warm), [
    'x: manifests that the registry was asked for: 1, not 0',
  ])
})

test('numbers stand under each other', () => {
  const rows = [costs({ step: 'one' }), costs({ step: 'another one', nodeBytes: 3 * 2 ** 30 })]
  const [head, rule, ...body] = formatTable(rows).split('\n')
  assert.equal(body[1], 'another one  0.00 s          0      0       0            0 B   3.0 GiB')
  assert.deepEqual(
    new Set([head, rule, ...body].map((line) => line?.length)),
    new Set([rule?.length]),
  )
  assert.equal(formatBytes(1023), '1023 B')
  assert.equal(formatBytes(1024), '1.0 KiB')
  assert.equal(formatBytes(5 * 2 ** 40), '5120.0 GiB')
})

function costs(given: Partial<Costs>): Costs {
  const none = { seconds: 0, manifests: 0, blobs: 0, tokens: 0, registryBytes: 0, nodeBytes: 0 }
  return { step: 'x', ...none, ...given }
}

async function runDemo(args: readonly string[], tempDir?: string) {
  const env = { PATH: process.env['PATH'], ...(tempDir === undefined ? {} : { TMPDIR: tempDir }) }
  const child = spawn(process.execPath, [DEMO, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(child, 'close')
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = (await ended) as [number | null]
  return { code, out, err }
}

async function text(stream: AsyncIterable<Buffer>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(stream)).toString()
}
