import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import type { Config } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problems.ts'
import { Reloader, type ReloadResult } from '../../src/config/reload.ts'
import { Barrier } from '../support/barrier.ts'
import { makeTempDir } from '../support/temp-dir.ts'

interface Running extends AsyncDisposable {
  readonly reloader: Reloader
  /** In use. */
  readonly config: () => Config
  readonly results: readonly ReloadResult[]
  readonly write: (text: string) => Promise<void>
}

interface RunningOptions {
  readonly env?: Environment
  /** Before a configuration is in use. */
  readonly apply?: (loaded: LoadedConfig) => Promise<void>
}

/** What stands for a server: it runs with that file, and takes over what a reload gives it. */
async function run(text: string, { env = {}, apply }: RunningOptions = {}): Promise<Running> {
  const dir = await makeTempDir('larder-reload-')
  const write = (next: string) => writeFile(join(dir.path, 'larder.yaml'), next)
  const load = () => loadConfig({ file: 'larder.yaml', env, cwd: dir.path })
  await write(text)
  let { config } = await load()
  const results: ReloadResult[] = []
  const reloader = new Reloader({
    load,
    apply: async (loaded) => {
      await apply?.(loaded)
      config = loaded.config
    },
    current: () => config,
    onResult: (result) => results.push(result),
  })
  return {
    reloader,
    config: () => config,
    results,
    write,
    [Symbol.asyncDispose]: () => dir.remove(),
  }
}

test('a changed file is taken over, with its warnings', async () => {
  await using server = await run('offline: false')
  await server.write('offline: true\nserver: { drainTimeout: 1s }\nauth: { htpasswdFile: /users }')
  const result = await server.reloader.reload()
  assert.ok(result.ok)
  assert.deepEqual(result.warnings.map(formatProblem), [
    'larder.yaml:3:23: auth.htpasswdFile: without server.tls passwords come in the clear',
  ])
  assert.deepEqual([server.config().offline, server.config().server.drainTimeoutMs], [true, 1000])
  assert.deepEqual(server.results, [result])
})

test('a bad file is refused with every place, and the old configuration stays', async () => {
  await using server = await run('offline: true')
  const before = server.config()
  await server.write('offline: maybe\nlog:\n  levl: debug\n')
  const result = await server.reloader.reload()
  assert.ok(!result.ok)
  assert.equal(
    result.message,
    'larder.yaml:1:10: offline: expected true or false, found a text\n' +
      'larder.yaml:3:3: log.levl: unknown key; did you mean level?',
  )
  assert.deepEqual(
    result.problems.map(({ file, line, column, path }) => [file, line, column, path]),
    [
      ['larder.yaml', 1, 10, 'offline'],
      ['larder.yaml', 3, 3, 'log.levl'],
    ],
  )
  assert.equal(server.config(), before)
  assert.deepEqual(server.results, [result])

  await server.write('offline: false')
  assert.ok((await server.reloader.reload()).ok, 'a refusal is not the end')
  assert.equal(server.config().offline, false)
})

test('with a key that takes a restart nothing of the file is taken over', async () => {
  let applied = 0
  await using server = await run('offline: false', {
    apply: async () => {
      applied++
    },
  })
  await server.write(
    'offline: true\nstorage:\n  path: /elsewhere\nlog: { format: text }\nserver: { listen: ":5001" }',
  )
  const result = await server.reloader.reload()
  assert.ok(!result.ok)
  const lines = result.message.split('\n')
  assert.equal(lines.length, 3)
  assert.match(lines[0] ?? '', /^larder.yaml:3:9: storage.path: takes a restart: /)
  assert.match(lines[1] ?? '', /^larder.yaml:4:16: log.format: takes a restart: /)
  assert.equal(
    lines[2],
    'larder.yaml:5:19: server.listen: takes a restart: the running server listens on 0.0.0.0:5000',
  )
  assert.equal(result.problems[2]?.path, 'server.listen')
  assert.deepEqual([applied, server.config().offline], [0, false])
})

test('what cannot be put in use is refused with its reason', async () => {
  const failure = new Error('cannot read /etc/larder/ca.crt: ENOENT')
  await using server = await run('offline: false', { apply: () => Promise.reject(failure) })
  await server.write('offline: true')
  const result = await server.reloader.reload()
  assert.deepEqual(result, { ok: false, message: failure.message, problems: [], error: failure })
  assert.equal(server.config().offline, false)
})

test('what is thrown at once, or is no error, is a refusal too', async () => {
  await using server = await run('', {
    apply: () => {
      throw 'a text'
    },
  })
  const result = await server.reloader.reload()
  assert.equal(result.ok ? undefined : result.message, 'a text')
})

test('whoever asks during a reload shares one more, which reads the file again', async () => {
  const applying = new Barrier()
  const applied: boolean[] = []
  await using server = await run('offline: false', {
    apply: async ({ config }) => {
      applied.push(config.offline)
      await applying.wait()
    },
  })
  const first = server.reloader.reload()
  await applying.arrived()
  await server.write('offline: true')
  const others = Array.from({ length: 10 }, () => server.reloader.reload())
  assert.deepEqual(applied, [false], 'one at a time')
  applying.release()

  const results = await Promise.all([first, ...others])
  assert.deepEqual(applied, [false, true])
  assert.deepEqual(server.results, [results[0], results[1]])
  assert.ok(results.slice(2).every((result) => result === results[1]))
  assert.notEqual(results[0], results[1])
  assert.equal(server.config().offline, true)
})

test('a call as a reload ends does not run beside the one that waits', async () => {
  let running = 0
  let most = 0
  await using server = await run('', {
    apply: async () => {
      most = Math.max(most, ++running)
      await new Promise(setImmediate)
      running--
    },
  })
  const { reloader } = server
  const first = reloader.reload()
  const second = reloader.reload()
  // Whoever was told of the first one asks in the moment in which the second begins.
  const third = first.then(() => reloader.reload())
  const fourth = second.then(() => reloader.reload())
  await Promise.all([first, second, third, fourth])
  assert.equal(most, 1)
})

test('the environment is over the file at a reload too', async () => {
  const env = { LARDER__OFFLINE: 'true', LARDER__STORAGE__PATH: '/srv/larder' }
  await using server = await run('offline: false\nstorage: { path: a }', { env })
  await server.write('offline: false\nstorage: { path: b, maxSize: 1GiB }')
  assert.ok((await server.reloader.reload()).ok, 'the path is fixed, and as it was')
  const { offline, storage } = server.config()
  assert.deepEqual([offline, storage.path], [true, '/srv/larder'])
  assert.deepEqual(storage.maxSize, { bytes: 1024 ** 3 })
})
