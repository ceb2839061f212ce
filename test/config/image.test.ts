import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, glob, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

import { loadConfig } from '../../src/config/load.ts'
import { send } from '../support/http-client.ts'
import { startLarder } from '../support/larder.ts'
import { makeTempDir } from '../support/temp-dir.ts'

interface Instruction {
  readonly name: string
  readonly text: string
}

const ROOT = join(import.meta.dirname, '../..')
const execute = promisify(execFile)
const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
  readonly version: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly scripts: Readonly<Record<string, string>>
}
const stages = stagesOf(await readFile(join(ROOT, 'Dockerfile'), 'utf8'))
const [build = [], run = []] = stages

test('the image is built in one stage and runs in another of the same Debian', () => {
  assert.deepEqual(
    stages.map(([from]) => from?.text),
    ['node:26-bookworm AS build', 'node:26-bookworm-slim'],
  )
})

test('what the build copies is what .dockerignore lets in', async () => {
  const copied = [...build, ...run]
    .filter(({ name, text }) => name === 'COPY' && !text.startsWith('--from'))
    .flatMap(({ text }) => text.split(/\s+/).slice(0, -1))
  const ignore = await readFile(join(ROOT, '.dockerignore'), 'utf8')
  const lines = ignore.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  assert.equal(lines[0], '*')
  assert.deepEqual(lines.slice(1).sort(), copied.map((file) => `!${file}`).sort())
})

test('it runs as a user with a number, and not as root', () => {
  const [uid = '', gid = ''] = last(run, 'USER').split(':')
  assert.match(uid, /^[1-9]\d{3,}$/)
  assert.match(gid, /^[1-9]\d{3,}$/)
  const folder = run.find(({ text }) => text.includes('install -d'))?.text ?? ''
  assert.ok(folder.includes(`-o ${uid} -g ${gid}`) && folder.includes('/var/lib/larder'))
})

test('it starts serving, checks its own health, and ends on the signal that Larder heeds', () => {
  const entry: string[] = JSON.parse(last(run, 'ENTRYPOINT'))
  assert.deepEqual([entry[0], entry.at(-1)], ['node', '/app/dist/main.js'])
  assert.deepEqual(JSON.parse(last(run, 'CMD')), ['serve'])
  assert.match(last(run, 'HEALTHCHECK'), /"\/app\/dist\/main\.js", "healthcheck"\]$/)
  assert.equal(last(run, 'STOPSIGNAL'), 'SIGTERM')
})

test('no package manager and no development package is left in it', () => {
  assert.match(build.map(({ text }) => text).join('\n'), /npm run build && npm prune --omit=dev/)
  const removed = run.find(({ text }) => text.startsWith('rm -rf'))?.text ?? ''
  for (const path of ['/usr/local/lib/node_modules', '/usr/local/bin/npm', '/usr/local/bin/npx']) {
    assert.ok(removed.split(/\s+/).includes(path), path)
  }
})

test('what is built runs, the page included: it needs package.json and node_modules besides', async () => {
  await using dir = await makeTempDir()
  const [compile = '', copy = ''] = manifest.scripts['build']?.split(' && ') ?? []
  const [tsc, ...args] = compile.split(' ')
  assert.equal(tsc, 'tsc')
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc')
  const dist = join(dir.path, 'dist')
  await execute(process.execPath, [compiler, ...args, '--outDir', dist], { cwd: ROOT })
  assert.match(copy, /^cp -R src\/page dist\/$/)
  await execute('cp', ['-R', 'src/page', dist], { cwd: ROOT })
  await copyFile(join(ROOT, 'package.json'), join(dir.path, 'package.json'))
  await symlink(join(ROOT, 'node_modules'), join(dir.path, 'node_modules'))
  const main = join(dist, 'main.js')
  const { stdout } = await execute(process.execPath, [main, 'version', '-o', 'json'])
  const version = { larder: manifest.version, node: process.version }
  assert.deepEqual(JSON.parse(stdout), version)
  const written = run.find(({ text }) => text.startsWith('echo'))?.text ?? ''
  await execute('sh', ['-c', written], {
    cwd: dir.path,
    env: { ...process.env, REVISION: 'c0ffee' },
  })
  const told = await execute(process.execPath, [main, 'version'])
  assert.match(told.stdout, /\(revision c0ffee, node /)
  const upstreams = [{ name: 'reg.test', url: 'http://127.0.0.1:1' }]
  await using larder = await startLarder({ upstreams, program: [main] })
  for (const path of ['/', '/ui/main.js', '/ui/pages/overview.js', '/ui/vendor/uplot.js']) {
    assert.equal((await send(larder.adminUrl, path)).status, 200, path)
  }
  const metrics = (await send(larder.adminUrl, '/metrics')).body.toString()
  assert.match(metrics, /^larder_build_info\{[^}]*revision="c0ffee"/m)
})

test('no package that the program imports is a development dependency', async () => {
  const imported = new Set<string>()
  for await (const file of glob('src/**/*.{js,ts}', { cwd: ROOT })) {
    const source = await readFile(join(ROOT, file), 'utf8')
    for (const [, name = ''] of source.matchAll(/^(?:import|export)[^']* from '([^.'][^']*)'/gm)) {
      if (!name.startsWith('node:')) imported.add(name === 'preact/hooks' ? 'preact' : name)
    }
  }
  assert.ok(imported.has('express'))
  const missing = [...imported].filter((name) => !(name in manifest.dependencies))
  assert.deepEqual(missing, [])
})

test('the configuration in it listens for others, and keeps everything in the volume', async () => {
  const file = join(ROOT, 'config/container.yaml')
  const { config, warnings } = await loadConfig({ file, env: {}, cwd: ROOT })
  assert.deepEqual(config.server.listen, { host: '0.0.0.0', port: 5000 })
  assert.deepEqual(config.server.adminListen, { host: '0.0.0.0', port: 9090 })
  assert.equal(config.storage.path, last(run, 'VOLUME'))
  assert.match(last(run, 'ENV'), /LARDER_CONFIG=\/etc\/larder\/larder\.yaml/)
  assert.equal(last(run, 'EXPOSE'), '5000 9090')
  // That it says so is right: whoever opens that port to others should know.
  assert.deepEqual(
    warnings.map(({ path }) => path),
    ['server.adminListen'],
  )
})

function last(instructions: readonly Instruction[], name: string): string {
  return instructions.findLast((instruction) => instruction.name === name)?.text ?? ''
}

/** Instructions by stage, each on one line. */
function stagesOf(dockerfile: string): Instruction[][] {
  const lines = dockerfile
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n\s*/g, ' ')
    .split('\n')
  const found: Instruction[][] = []
  for (const line of lines) {
    const [, name = '', text = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    if (name === 'FROM') found.push([])
    if (name !== '') found.at(-1)?.push({ name, text: text.trim() })
  }
  return found
}
