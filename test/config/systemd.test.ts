import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

import { loadConfig } from '../../src/config/load.ts'
import { parseSize } from '../../src/config/sizes.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { assertTimeToDrain, ROOT, readText } from './pod.ts'

const ANALYZE = 'systemd-analyze'
/** The release that judges a unit which is not loaded. */
const OFFLINE_SINCE = 250
/** Of 10; 0 is a service that may do nothing. A web server is at 9 where nobody saw to it. */
const MAX_EXPOSURE = 2

const execute = promisify(execFile)
const text = await readText('config/systemd/larder.service')
const unit = parseUnit(text)
const { config } = await loadConfig({
  file: join(ROOT, 'config/minimal.yaml'),
  env: {},
  cwd: ROOT,
})
const release = await systemdRelease()

test('the unit runs the server as its own user, with the documented file', () => {
  assert.deepEqual(unit.get('ExecStart'), ['/usr/local/bin/larder serve'])
  assert.deepEqual(unit.get('Type'), ['exec'])
  assert.deepEqual(unit.get('User'), ['larder'])
  assert.ok(unit.get('Environment')?.includes('LARDER_CONFIG=/etc/larder/larder.yaml'))
  assert.deepEqual(unit.get('ConfigurationDirectory'), ['larder'])
})

test('Node is given the flags that it is given in the image', async () => {
  const [, command = ''] = /^ENTRYPOINT (.+)$/m.exec(await readText('Dockerfile')) ?? []
  const flags = (JSON.parse(command) as readonly string[]).filter((word) => word.startsWith('-'))
  assert.ok(unit.get('Environment')?.includes(`NODE_OPTIONS=${flags.join(' ')}`))
})

test('it may write to the data directory of the minimal configuration, and to nothing else', () => {
  assert.equal(config.storage.path, `/var/lib/${unit.get('StateDirectory')?.[0]}`)
  assert.ok(unit.get('Environment')?.includes(`SQLITE_TMPDIR=${config.storage.path}`))
  assert.deepEqual(unit.get('ProtectSystem'), ['strict'])
  assert.equal(unit.get('ReadWritePaths'), undefined)
})

test('pulls under way have the time to end, and a reload is the signal that Larder heeds', () => {
  const seconds = Number.parseInt(unit.get('TimeoutStopSec')?.[0] ?? '', 10)
  assertTimeToDrain(seconds, config)
  assert.deepEqual(unit.get('KillMode'), ['mixed'])
  assert.deepEqual(unit.get('ExecReload'), ['/bin/kill -HUP $MAINPID'])
})

test('it is started again after a crash, but not for what somebody has to mend', () => {
  assert.deepEqual(unit.get('Restart'), ['on-failure'])
  assert.deepEqual(unit.get('RestartPreventExitStatus'), ['2 75'])
})

test('its limits leave room for what the configuration takes', () => {
  assert.ok(Number(unit.get('LimitNOFILE')?.[0]) > 4096)
  const bytes = parseSize(`${unit.get('MemoryMax')?.[0]}iB`) ?? 0
  assert.ok(bytes >= 2 * config.memory.chunkCacheBytes, `${bytes} bytes`)
})

test('it gains no privilege, and executes memory, as V8 has to', () => {
  assert.deepEqual(unit.get('NoNewPrivileges'), ['yes'])
  assert.deepEqual(unit.get('CapabilityBoundingSet'), [''])
  assert.deepEqual(unit.get('SystemCallFilter'), ['@system-service', '~@privileged @resources'])
  const families = unit.get('RestrictAddressFamilies')?.[0]?.split(' ')
  assert.deepEqual(families, ['AF_INET', 'AF_INET6', 'AF_UNIX', 'AF_NETLINK'])
  assert.equal(unit.get('MemoryDenyWriteExecute'), undefined)
})

test('systemd finds nothing wrong with it, and little that is exposed', {
  skip: release >= OFFLINE_SINCE ? false : `there is no systemd ${OFFLINE_SINCE} or newer`,
}, async () => {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'larder.service')
  // It looks for the program, too.
  await writeFile(file, text.replace('/usr/local/bin/larder', process.execPath))
  const { stdout, stderr } = await execute(ANALYZE, ['verify', '--man=no', file])
  const complaints = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('larder'))
  assert.deepEqual(complaints, [])
  const options = ['security', '--offline=true', `--threshold=${MAX_EXPOSURE * 10}`, file]
  await execute(ANALYZE, options)
})

/** 0 where there is none. */
async function systemdRelease(): Promise<number> {
  const stdout = await execute(ANALYZE, ['--version']).then(
    (result) => result.stdout,
    () => '',
  )
  return Number(/^systemd (\d+)/.exec(stdout)?.[1] ?? 0)
}

/** Each key's values in turn. */
function parseUnit(unitText: string): ReadonlyMap<string, readonly string[]> {
  const keys = new Map<string, string[]>()
  for (const line of unitText.split('\n')) {
    const [, key, value = ''] = /^([A-Z]\w+)=(.*)$/.exec(line) ?? []
    if (key !== undefined) keys.set(key, [...(keys.get(key) ?? []), value])
  }
  return keys
}
