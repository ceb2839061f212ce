import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

import { RUNTIMES } from '../../src/node-config/render.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { LOOPBACK_CERT, LOOPBACK_KEY } from '../upstream/loopback-tls.ts'
import { type Ended, larder, spawnLarder } from './admin.ts'

const UPSTREAMS = [
  { name: 'docker.io', url: 'https://registry-1.docker.io', default: true },
  { name: 'acme', match: ['reg.acme.example:8443'], url: 'https://reg.acme.example:8443' },
]
const FILES = { 'ca.pem': `${LOOPBACK_KEY}${LOOPBACK_CERT}`, 'key.pem': LOOPBACK_KEY }
const URL_OPTION = ['--url', 'https://larder.example:5000']

interface Site {
  readonly server?: object
  readonly auth?: object
}

function run(args: readonly string[], { server = {}, auth }: Site = {}): Promise<Ended> {
  const config = { version: 1, server, auth, upstreams: UPSTREAMS }
  const files = { ...FILES, 'larder.yaml': JSON.stringify(config) }
  return larder(['node-config', '-c', 'larder.yaml', ...args], { files })
}

test('files are printed with a header each, and notes on standard error', async () => {
  const { code, stdout, stderr } = await run(['containerd', ...URL_OPTION])
  assert.equal(code, 0)
  assert.equal(
    stdout,
    `# /etc/containerd/certs.d/docker.io/hosts.toml
# docker.io: Larder first, then the registry itself.
server = "https://registry-1.docker.io"

[host."https://larder.example:5000"]
  capabilities = ["pull", "resolve"]
  dial_timeout = "2s"

# /etc/containerd/certs.d/reg.acme.example_8443_/hosts.toml
# reg.acme.example:8443: Larder first, then the registry itself.
server = "https://reg.acme.example:8443"

[host."https://larder.example:5000"]
  capabilities = ["pull", "resolve"]
  dial_timeout = "2s"
`,
  )
  assert.match(stderr, /^note: They are read at each pull/)
})

test('every runtime has its files, for those upstreams alone that were named', async () => {
  for (const runtime of RUNTIMES) {
    const args = [runtime, ...URL_OPTION, '--upstream', 'docker.io', '-o', 'json']
    const { code, stdout, stderr } = await run(args)
    assert.deepEqual([code, stderr], [0, ''], runtime)
    const { files, notes, ...rest } = JSON.parse(stdout)
    assert.deepEqual(rest, { runtime, url: 'https://larder.example:5000' })
    assert.ok(files.length > 0 && notes.length > 0)
    assert.doesNotMatch(JSON.stringify(files), /acme/)
    assert.deepEqual(Object.keys(files[0]), ['path', 'content', 'mode'])
    assert.equal(files[0].mode, '0644')
  }
})

test('the authority goes along, and a key beside it in its file does not', async () => {
  const { stdout } = await run(['k3s', ...URL_OPTION, '--ca', 'ca.pem', '-o', 'json'])
  const files: { path: string; content: string }[] = JSON.parse(stdout).files
  const [ca] = files.filter(({ path }) => path === '/etc/rancher/k3s/larder-ca.crt')
  assert.equal(ca?.content, LOOPBACK_CERT)
  assert.doesNotMatch(stdout, /PRIVATE/)
  for (const [file, message] of [
    ['key.pem', /key\.pem holds no certificate in PEM$/m],
    ['none.pem', /cannot read \S+none\.pem: ENOENT$/m],
  ] as const) {
    const { code, stderr } = await run(['k3s', ...URL_OPTION, '--ca', file])
    assert.equal(code, 2)
    assert.match(stderr, message)
  }
})

test('without --url it is this host, with a note of what to look after', async () => {
  const url = async (server: object) => {
    const { code, stdout, stderr } = await run(['docker', '-o', 'json'], { server })
    return code === 0 ? [JSON.parse(stdout).url, JSON.parse(stdout).notes[0]] : [code, stderr]
  }
  const own = hostname().toLowerCase()
  const [wildcard, doubt] = await url({ listen: ':6000' })
  assert.equal(wildcard, `http://${own}:6000`)
  assert.match(doubt, /for another name or address say --url/)
  assert.equal((await url({ listen: '10.1.2.3:80' }))[0], 'http://10.1.2.3')
  const [loopback, warning] = await url({ listen: '127.0.0.1:5000' })
  assert.equal(loopback, `http://${own}:5000`)
  assert.match(warning, /server\.listen is on loopback: no other machine reaches/)
  assert.deepEqual(await url({ listen: '127.0.0.1:0' }), [
    2,
    'server.listen has no fixed port: say --url URL\n',
  ])
})

test('what the front door asks for is told', async () => {
  const auth = { htpasswdFile: 'users' }
  const args = ['crio', ...URL_OPTION, '--upstream', 'docker.io']
  const { stderr } = await run(args, { auth })
  assert.match(stderr, /^note: Larder asks for a password\. .*global_auth_file/m)
  assert.doesNotMatch((await run(args)).stderr, /asks for/)
})

test('what cannot be meant is exit 2, and a password in a URL is not repeated', async () => {
  for (const [args, message] of [
    [['nomad', ...URL_OPTION], /Allowed choices are containerd, crio/],
    [['containerd', '--url', 'http://u:canary@a'], /^--url: expected a URL/],
    [['containerd', '--url', 'larder:5000'], /^--url: expected a URL/],
    [['containerd', '--url', 'http://larder/path'], /^--url: expected a URL/],
    [['containerd', ...URL_OPTION, '--upstream', 'x'], /^no upstream is called x; there are: doc/],
    [['containerd', ...URL_OPTION, '--client-cert', '/a'], /go together/],
    [['containerd', ...URL_OPTION, '--force'], /--force goes with --write/],
    [['containerd', '--url', 'http://larder', '--ca', 'ca.pem'], /without TLS/],
    [['buildkit', ...URL_OPTION, '--no-fallback'], /leave --no-fallback out/],
    [['crio', ...URL_OPTION], /reg\.acme\.example:8443: Podman and CRI-O cannot/],
    [['k3s', ...URL_OPTION, '-c', 'none.yaml'], /none\.yaml: no such file/],
  ] as const) {
    const { code, stdout, stderr } = await run(args)
    assert.deepEqual([code, stdout], [2, ''], args.join(' '))
    assert.match(stderr, message)
    assert.doesNotMatch(stderr, /canary/)
  }
})

test('files are written below a folder, and what is the same is left alone', async () => {
  await using dir = await makeTempDir()
  const args = ['k3s', ...URL_OPTION, '--ca', 'ca.pem', '--no-fallback', '--write', dir.path]
  const first = await run(args)
  const root = join(dir.path, 'etc/rancher/k3s')
  const names = ['registries.yaml', 'config.yaml.d/50-larder.yaml', 'larder-ca.crt']
  assert.equal(first.stdout, names.map((name) => `wrote  ${join(root, name)}\n`).join(''))
  const printed = await run([...args.slice(0, -2), '-o', 'json'])
  for (const { path, content } of JSON.parse(printed.stdout).files) {
    assert.equal(await readFile(join(dir.path, path), 'utf8'), content)
    assert.equal((await stat(join(dir.path, path))).mode & 0o777, 0o644)
  }
  const again = await run([...args, '-o', 'json'])
  assert.deepEqual(
    JSON.parse(again.stdout).written,
    names.map((name) => ({ path: join(root, name), isNew: false })),
  )
})

test('a file that differs is named and kept, and nothing is written, unless --force is said', async () => {
  await using dir = await makeTempDir()
  const root = join(dir.path, 'etc/rancher/k3s')
  await mkdir(root, { recursive: true })
  const file = join(root, 'registries.yaml')
  await writeFile(file, 'mirrors: {}\n')
  const args = ['k3s', ...URL_OPTION, '--no-fallback', '--write', dir.path]
  const refused = await run(args)
  assert.deepEqual([refused.code, refused.stdout], [1, ''])
  assert.equal(
    refused.stderr,
    `${file}: is there, and is another\n` +
      'nothing was written: merge them by hand, or say --force\n',
  )
  assert.deepEqual(await readdir(root), ['registries.yaml'])
  assert.equal(await readFile(file, 'utf8'), 'mirrors: {}\n')
  const forced = await run([...args, '--force'])
  assert.equal(forced.code, 0)
  assert.match(await readFile(file, 'utf8'), /larder\.example/)
  assert.deepEqual((await readdir(root)).toSorted(), ['config.yaml.d', 'registries.yaml'])
})

test('what is in the way of a file is told by its name', async () => {
  await using dir = await makeTempDir()
  await writeFile(join(dir.path, 'etc'), '')
  const { code, stderr } = await run(['k3s', ...URL_OPTION, '--write', dir.path])
  assert.equal(code, 1)
  assert.match(stderr, /^cannot read \S+\/registries\.yaml: ENOTDIR$/m)
})

test('the program itself prints them with its built-in defaults', async () => {
  const { code, stdout } = await spawnLarder(['node-config', 'containerd', ...URL_OPTION])
  assert.equal(code, 0)
  assert.match(stdout, /^# \/etc\/containerd\/certs\.d\/registry\.k8s\.io\/hosts\.toml$/m)
})
