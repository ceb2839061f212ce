import assert from 'node:assert/strict'
import { test } from 'node:test'

import { parse } from 'yaml'

import { configCommand } from '../../src/cli/config.ts'
import { ExitError } from '../../src/cli/exit.ts'
import type { Environment } from '../../src/config/environment.ts'
import { configJsonSchema } from '../../src/config/schema.ts'
import { withFile } from '../config/support.ts'

interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly error: unknown
}

/** Runs `larder config …` beside a `larder.yaml` with that text. */
async function run(text: string, args: readonly string[], env: Environment = {}): Promise<Outcome> {
  return await withFile(text, async (cwd) => {
    const written = { stdout: '', stderr: '' }
    const command = configCommand({
      env,
      cwd,
      stdout: { write: (chunk) => (written.stdout += chunk) },
      stderr: { write: (chunk) => (written.stderr += chunk) },
    })
    const error: unknown = await command.parseAsync([...args], { from: 'user' }).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    return { ...written, error }
  })
}

const SECRETS = `
upstreams:
  - name: r.example.com
    url: https://r.example.com
    access: shared
    proxy: http://acme:hunter2@proxy.example.com:3128
    credentials: [{ username: acme, password: hunter2 }]
`

test('check says ok on standard output', async () => {
  assert.deepEqual(await run('offline: true', ['check', '-c', 'larder.yaml']), {
    stdout: 'larder.yaml: ok\n',
    stderr: '',
    error: undefined,
  })
  assert.equal((await run('', ['check'])).stdout, 'built-in configuration: ok\n')
})

test('check writes warnings to standard error', async () => {
  const { stdout, stderr } = await run(SECRETS, ['check', '-c', 'larder.yaml'])
  assert.equal(stdout, 'larder.yaml: ok\n')
  assert.match(stderr, /^larder\.yaml:5:13: upstreams\.0\.access: warning: shared without auth/)
})

test('check ends with 2 and every problem', async () => {
  const { stdout, error } = await run('offlin: 1\nversion: 3', ['check', '-c', 'larder.yaml'])
  assert.equal(stdout, '')
  assert.ok(error instanceof ExitError)
  assert.equal(error.exitCode, 2)
  assert.equal(
    error.message,
    'larder.yaml:1:1: offlin: unknown key; did you mean offline?\nlarder.yaml:2:10: version: expected 1',
  )
})

test('print shows what is in effect, without secrets', async () => {
  for (const output of ['yaml', 'json']) {
    const { stdout, error } = await run(SECRETS, ['print', '-c', 'larder.yaml', '-o', output])
    assert.equal(error, undefined)
    assert.ok(!stdout.includes('hunter2'), stdout)
    const shown = output === 'json' ? JSON.parse(stdout) : parse(stdout)
    assert.deepEqual(shown.upstreams[0].credentials, [{ username: 'acme', password: '***' }])
    assert.equal(shown.upstreams[0].proxy, 'http://acme:***@proxy.example.com:3128/')
    assert.equal(shown.server.listen, '0.0.0.0:5000')
    assert.ok(stdout.endsWith('\n') && !stdout.endsWith('\n\n'))
  }
})

test('print --origin says where each value comes from', async () => {
  const env = { LARDER__OFFLINE: 'true' }
  const yaml = await run(SECRETS, ['print', '--origin', '-c', 'larder.yaml'], env)
  assert.match(yaml.stdout, /^offline: true # env$/m)
  assert.match(yaml.stdout, /^ {4}url: https:\/\/r\.example\.com # file$/m)
  assert.match(yaml.stdout, /^ {2}level: info # default$/m)
  const json = await run(SECRETS, ['print', '--origin', '-o', 'json', '-c', 'larder.yaml'], env)
  const { config, origins } = JSON.parse(json.stdout)
  assert.equal(config.offline, true)
  assert.equal(origins.offline, 'env')
  assert.equal(origins['upstreams.0.credentials.0.password'], 'file')
})

test('print of a wrong configuration prints nothing and ends with 2', async () => {
  const { stdout, error } = await run('x: 1', ['print', '-c', 'larder.yaml'])
  assert.equal(stdout, '')
  assert.ok(error instanceof ExitError && error.exitCode === 2)
})

test('schema prints the JSON Schema', async () => {
  const { stdout } = await run('', ['schema'])
  assert.deepEqual(JSON.parse(stdout), JSON.parse(JSON.stringify(configJsonSchema())))
})
