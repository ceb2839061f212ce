/**
 * `larder preload` beside `skopeo sync`: the same images, from the same registry, each time into an
 * empty folder, in turn.
 *
 *     node test/bench/preload.ts [rounds]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'

import { type RealRegistry, startRealRegistry } from '../e2e/real-registry.ts'
import { buildImage, seededBytes } from '../support/images.ts'
import { startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const MIB = 1024 * 1024
const IMAGES = 50
const ROUNDS = Number(process.argv[2] ?? 5)

/** A base that all have, and two layers of 1 to 4 MiB of its own. */
async function push(registry: RealRegistry): Promise<readonly string[]> {
  const base = seededBytes('base', 4 * MIB)
  const tags: string[] = []
  for (let index = 0; index < IMAGES; index++) {
    const own = [1 + (index % 4), 1 + ((index * 3 + 1) % 4)]
    const layers = [base, ...own.map((size) => size * MIB)]
    const tag = `v${index}`
    await registry.push('team/app', tag, buildImage({ seed: index, layers }))
    tags.push(tag)
  }
  return tags
}

async function timed(command: string, args: readonly string[]): Promise<number> {
  const startedAt = performance.now()
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`${command} ended with ${code}`)
  return performance.now() - startedAt
}

async function skopeo(registry: RealRegistry, tags: readonly string[]): Promise<number> {
  await using dir = await makeTempDir('larder-bench-skopeo-')
  const file = join(dir.path, 'sync.yaml')
  const source = { 'tls-verify': false, images: { 'team/app': tags } }
  await writeFile(file, stringify({ [registry.host]: source }))
  const to = join(dir.path, 'out')
  const options = ['--insecure-policy', 'sync', '--src', 'yaml', '--dest', 'dir', file, to]
  return await timed('sh', ['-c', `mkdir ${to} && exec skopeo "$@" 2>/dev/null`, 'sh', ...options])
}

async function larder(registry: RealRegistry, tags: readonly string[]): Promise<number> {
  await using dir = await makeTempDir('larder-bench-preload-')
  const file = join(dir.path, 'images.txt')
  await writeFile(file, tags.map((tag) => `${registry.host}/team/app:${tag}\n`).join(''))
  const upstreams = [{ name: registry.host, url: registry.url, access: 'public' }]
  await using server = await startLarder({ upstreams, log: { level: 'info' } })
  const args = [MAIN, 'preload', file, '--server', server.adminUrl]
  return await timed('sh', ['-c', 'exec "$@" 2>/dev/null', 'sh', process.execPath, ...args])
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

await using registry = await startRealRegistry()
const tags = await push(registry)
const times = { skopeo: [] as number[], larder: [] as number[] }
for (let round = 0; round < ROUNDS; round++) {
  times.skopeo.push(await skopeo(registry, tags))
  times.larder.push(await larder(registry, tags))
}
for (const [name, values] of Object.entries(times)) {
  const all = values.map((value) => value.toFixed(0)).join(' ')
  process.stdout.write(`${name.padEnd(7)} median ${median(values).toFixed(0)} ms (${all})\n`)
}
const ratio = median(times.larder) / median(times.skopeo)
process.stdout.write(`ratio ${ratio.toFixed(2)}, ${IMAGES} images\n`)
