import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import type { SourceSurroundings } from '../../src/cli/source-files.ts'
import { readImages } from '../../src/cli/source-images.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { larder } from './admin.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const FIXTURES = fileURLToPath(new URL('../airgap/fixtures', import.meta.url))

const POD = `apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
    - image: nginx
      args: [--image=acme/side:v1]
`

async function writeTree(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true })
    await writeFile(join(root, name), content)
  }
}

async function* bytesOf(content: string) {
  yield Buffer.from(content)
}

function readIn(cwd: string, names: readonly string[], more: Partial<SourceSurroundings> = {}) {
  return readImages(names, { cwd, stdin: bytesOf(''), ...more })
}

test('images of several sources are listed once, and what may be one apart', async () => {
  const files = { 'pod.yaml': POD, 'list.txt': 'redis:7\ndocker.io/library/nginx:latest\n' }
  const plain = await larder(['images', 'pod.yaml', 'list.txt', 'ghcr.io/acme/app:v1'], { files })
  assert.deepEqual(plain, {
    code: 0,
    stdout:
      'IMAGE\ndocker.io/library/nginx:latest\ndocker.io/library/redis:7\nghcr.io/acme/app:v1\n' +
      '\nMAYBE\ndocker.io/acme/side:v1\n',
    stderr: '',
  })
  const why = await larder(['images', 'pod.yaml', 'list.txt', '--why'], { files })
  assert.deepEqual(
    why.stdout.split('\n').map((line) => line.split(/ {2,}/)),
    [
      ['IMAGE', 'WHERE', 'PATH'],
      ['docker.io/library/nginx:latest', 'pod.yaml:6:14', 'Pod/web spec.containers[0].image'],
      ['docker.io/library/nginx:latest', 'list.txt:2:1'],
      ['docker.io/library/redis:7', 'list.txt:1:1'],
      [''],
      ['MAYBE', 'WHERE', 'PATH'],
      ['docker.io/acme/side:v1', 'pod.yaml:7:22', 'Pod/web spec.containers[0].args[0]'],
      [''],
    ],
  )
})

test('a list and JSON of it are sources again', async () => {
  const files = { 'pod.yaml': POD }
  const list = await larder(['images', 'pod.yaml', '-o', 'list'], { files })
  assert.equal(list.stdout, 'docker.io/library/nginx:latest\n')
  const json = await larder(['images', 'pod.yaml', '-o', 'json'], { files })
  assert.deepEqual(JSON.parse(json.stdout), {
    images: [
      {
        image: 'docker.io/library/nginx:latest',
        platforms: [],
        found: [
          {
            source: 'pod.yaml',
            line: 6,
            column: 14,
            path: 'Pod/web spec.containers[0].image',
            raw: 'nginx',
          },
        ],
      },
    ],
    maybe: [
      {
        image: 'docker.io/acme/side:v1',
        platforms: [],
        found: [
          {
            source: 'pod.yaml',
            line: 7,
            column: 22,
            path: 'Pod/web spec.containers[0].args[0]',
            raw: 'acme/side:v1',
          },
        ],
      },
    ],
    notes: [],
  })
  const again = { 'a.json': json.stdout, 'b.txt': list.stdout }
  const second = await larder(['images', 'a.json', 'b.txt', '-o', 'list'], { files: again })
  assert.deepEqual([second.code, second.stdout], [0, list.stdout])
})

test('standard input is a source', async () => {
  const child = spawn(process.execPath, [MAIN, 'images', '-', '--why'], { stdio: 'pipe' })
  child.stdin.end(POD)
  assert.match(await text(child.stdout), /nginx:latest +stdin:6:14 +Pod\/web/)
})

test('what cannot be read is told of, with exit 2 alone and 3 among others', async () => {
  const files = { 'list.txt': 'redis\n', 'bad.txt': 'nginx\nAcme/App\n', 'prose.txt': 'A b c d.\n' }
  const run = (...args: string[]) => larder(['images', '-o', 'list', ...args], { files })
  for (const [name, message] of [
    ['no.yaml', /^error: no\.yaml: no such file\n$/],
    ['./nginx', /^error: \.\/nginx: no such file\n$/],
    ['images.txt', /^error: images\.txt: no such file\n$/],
    ['Nginx', /^error: Nginx: no such file, and not an image such as ghcr\.io\/acme\/app:v1\n$/],
    ['prose.txt', /^error: prose\.txt: is none of what names images: a list of images, .*\n$/],
  ] as const) {
    const alone = await run(name)
    assert.deepEqual([alone.code, alone.stdout], [2, ''], name)
    assert.match(alone.stderr, message)
    const among = await run(name, 'list.txt')
    assert.deepEqual([among.code, among.stdout], [3, 'docker.io/library/redis:latest\n'], name)
    assert.equal(among.stderr, alone.stderr)
  }
  const partly = await run('bad.txt')
  assert.deepEqual(partly, {
    code: 3,
    stdout: 'docker.io/library/nginx:latest\n',
    stderr: 'error: bad.txt:2:1: not an image: repositories are lower case\n',
  })
  assert.equal((await run()).code, 2)
  assert.equal((await run('list.txt', '-o', 'yaml')).code, 2)
})

test('an image is one also beside files of nearly its name; a file of its name is meant before it', async () => {
  const files = { acme: 'redis\n' }
  const long = `ghcr.io/${'a'.repeat(250)}`
  const { code, stdout } = await larder(['images', 'acme/app', long, 'acme'], { files })
  assert.equal(code, 0)
  assert.deepEqual(stdout.trimEnd().split('\n').slice(1), [
    'docker.io/acme/app:latest',
    `${long}:latest`,
    'docker.io/library/redis:latest',
  ])
})

test('of one kind of message a source has no more than twenty', async () => {
  const lines = Array.from({ length: 30 }, () => 'A').join('\n')
  const list = `${'nginx\n'.repeat(40)}${lines}\n`
  const { code, stderr } = await larder(['images', 'a.txt'], { files: { 'a.txt': list } })
  const said = stderr.trimEnd().split('\n')
  assert.deepEqual([code, said.length, said.at(-1)], [3, 21, 'error: a.txt: and 10 more'])
})

test('what a terminal would obey is not printed', async () => {
  const evil = `apiVersion: v1\nkind: "P\\e[31m"\nspec: {containers: [{image: "a:1"}]}\n`
  const { stdout } = await larder(['images', 'a.yaml', '--why'], { files: { 'a.yaml': evil } })
  assert.match(stdout, /P\ufffd\[31m\/\?/)
  assert.doesNotMatch(stdout, /\p{Cc}(?<!\n)/u)
})

test('an archive is refused by its content, however large, with what to do', async () => {
  const gzip = Buffer.from('1f8b08000000', 'hex').toString('latin1')
  await using dir = await makeTempDir()
  await writeFile(join(dir.path, 'images.txt'), Buffer.from(gzip, 'latin1'))
  const { notes, hasSources } = await readIn(dir.path, ['images.txt'], { maxBytes: 3 })
  assert.equal(hasSources, false)
  assert.deepEqual(notes, [
    {
      level: 'error',
      where: { source: 'images.txt' },
      message: 'this is an archive: use larder import',
    },
  ])
})

test('a folder is read in the order of its names, with all that is below it', async () => {
  await using dir = await makeTempDir()
  await writeTree(dir.path, {
    'b/pod.yaml': POD,
    'a.txt': 'redis\n',
    'c.yml': 'services: {x: {image: "acme/x:$TAG"}}\n',
    '.env': 'TAG=v1\n',
    'README.md': 'nginx\n',
    'notes.txt': 'This is a text of several words.\n',
    '.git/config.yaml': POD,
    'b/.hidden.yaml': 'a: [',
  })
  const { images, notes, hasErrors } = await readIn(dir.path, ['.'])
  assert.deepEqual(
    images.map(({ name, mentions }) => [name, mentions[0]?.where.source]),
    [
      ['docker.io/library/redis:latest', 'a.txt'],
      ['docker.io/library/nginx:latest', 'b/pod.yaml'],
      ['docker.io/acme/x:v1', 'c.yml'],
    ],
  )
  assert.deepEqual(
    notes.map(({ level, where }) => [level, where.source]),
    [['warning', 'notes.txt']],
  )
  assert.equal(hasErrors, false)
})

test('the fixtures are read as a folder, and give the same every time', async () => {
  await using dir = await makeTempDir()
  await cp(FIXTURES, join(dir.path, 'site'), { recursive: true })
  const [first, second] = [await readIn(dir.path, ['site']), await readIn(dir.path, ['site'])]
  assert.deepEqual(first, second)
  assert.ok(first.images.length > 45, String(first.images.length))
  assert.equal(new Set(first.images.map(({ name }) => name)).size, first.images.length)
})

test('a folder in which nothing names images is none', async () => {
  await using dir = await makeTempDir()
  await writeTree(dir.path, { 'a/notes.txt': 'A text of words.\n', 'b/x.md': '' })
  for (const name of ['a', 'b']) {
    const { hasErrors, hasSources } = await readIn(dir.path, [name])
    assert.deepEqual([hasErrors, hasSources], [true, false], name)
  }
})

test("a chart's templates are left out, and how to render them is said", async () => {
  await using dir = await makeTempDir()
  await writeTree(dir.path, {
    'shop/Chart.yaml':
      'apiVersion: v2\nname: a\nversion: 1.0.0\nannotations: {images: "- image: nginx"}\n',
    'shop/templates/web.yaml': '{{- if .Values.on }}\n',
  })
  const { images, notes, hasErrors } = await readIn(dir.path, ['shop'])
  assert.deepEqual([images.length, hasErrors], [1, false])
  assert.deepEqual(
    notes.map(({ where, message }) => `${where.source}: ${message}`),
    ['shop/templates: templates are not rendered here: helm template NAME shop | larder images -'],
  )
})

test('links are followed to files within the folder alone', async () => {
  await using dir = await makeTempDir()
  await writeTree(dir.path, { 'in/..data/real.yaml': POD, 'out/secret.yaml': 'redis\n' })
  await symlink('..data/real.yaml', join(dir.path, 'in/pod.yaml'))
  await symlink('../out/secret.yaml', join(dir.path, 'in/secret.yaml'))
  await symlink('loop.yaml', join(dir.path, 'in/loop.yaml'))
  await symlink('..', join(dir.path, 'in/up'))
  await symlink('../out', join(dir.path, 'in/out.yaml'))
  const { images, notes } = await readIn(dir.path, ['in'])
  assert.deepEqual(
    images.map(({ name }) => name),
    ['docker.io/library/nginx:latest'],
  )
  assert.deepEqual(
    notes.map(({ level, where }) => `${level} ${where.source}`),
    ['error in/loop.yaml', 'warning in/out.yaml', 'warning in/secret.yaml'],
  )
  // Whoever names a link means what it leads to.
  assert.equal((await readIn(dir.path, ['in/secret.yaml'])).images.length, 1)
})

test('what is too large or too much is an error, of a pipe, too', async () => {
  await using dir = await makeTempDir()
  await writeTree(dir.path, { 'a.txt': 'nginx\n', 'b.txt': 'redis:7\n', 'c.txt': 'busybox\n' })
  const large = await readIn(dir.path, ['a.txt', 'b.txt', '-'], {
    maxBytes: 7,
    stdin: bytesOf('busybox:1.36'),
  })
  assert.deepEqual(
    large.images.map(({ name }) => name),
    ['docker.io/library/nginx:latest'],
  )
  assert.deepEqual(
    large.notes.map(({ where, message }) => `${where.source}: ${message}`),
    [
      'b.txt: is larger than 7 B: too large to be read',
      'stdin: is larger than 7 B: too large to be read',
    ],
  )
  const many = await readIn(dir.path, ['.'], { maxFiles: 2 })
  assert.equal(many.images.length, 2)
  assert.deepEqual(
    many.notes.map(({ message }) => message),
    ['more than 2 files: name fewer'],
  )
  assert.deepEqual([many.hasErrors, many.hasSources], [true, true])
})

test('images has help with examples', async () => {
  const { code, stdout } = await larder(['images', '--help'])
  assert.equal(code, 0)
  assert.match(stdout, /Examples:\n {2}larder images/)
})

test('who stops reading, as head does, ends it without a word', async () => {
  const child = spawn(process.execPath, [MAIN, 'images', 'nginx:1.27'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.destroy()
  const closed = once(child, 'close')
  assert.equal(await text(child.stderr), '')
  assert.deepEqual(await closed, [141, null])
})
