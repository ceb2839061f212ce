import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'

const SRC = resolve(import.meta.dirname, '../src')

interface Rule {
  /** Rooms whose values it may use. */
  readonly values: readonly string[]
  /** Rooms of which it may know the shapes. */
  readonly types: readonly string[]
}

/** Who may import whom. The arrow points one way: api → access → pull → (store | upstream) → oci. */
const MAY_IMPORT: Readonly<Record<string, Rule>> = {
  oci: { values: [], types: [] },
  http: { values: [], types: [] },
  bound: { values: [], types: [] },
  'chunk-memory': { values: [], types: [] },
  config: { values: ['oci'], types: [] },
  store: { values: ['oci', 'bound', 'chunk-memory'], types: ['log'] },
  upstream: { values: ['oci'], types: ['config', 'log'] },
  // Which kind of failure it was, and which bytes are wanted, are values of these two rooms.
  pull: {
    values: ['oci', 'upstream', 'bound', 'chunk-memory'],
    types: ['store', 'config', 'log', 'metrics'],
  },
  access: { values: ['oci', 'pull', 'upstream', 'bound'], types: ['store', 'config'] },
  api: {
    values: ['access', 'pull', 'oci', 'http'],
    types: ['upstream', 'config', 'log', 'metrics', 'store'],
  },
  // In front of the arrow: clients come to a worker first.
  workers: { values: ['access', 'api', 'pull', 'store', 'oci', 'http'], types: ['listener'] },
  airgap: { values: ['oci'], types: ['store', 'pull', 'upstream', 'config', 'log', 'metrics'] },
  admin: {
    values: ['access', 'config', 'oci'],
    types: ['airgap', 'api', 'log', 'metrics', 'node-config', 'upstream'],
  },
  'node-config': { values: ['oci'], types: ['config'] },
  // It runs in a browser: what the API answers is all that it knows of the other rooms.
  page: { values: [], types: [] },
  log: { values: [], types: ['config'] },
  metrics: { values: ['oci'], types: [] },
  listener: { values: ['http'], types: ['config'] },
  'steady-clock': { values: [], types: ['upstream'] },
}

/** What a process begins with. */
const PROGRAMS = new Set(['main.ts', 'app/worker.ts'])

/** Rooms that put everything together. */
const FREE = new Set(['app', 'main', 'cli'])

/** Which package is at home where. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  'better-sqlite3': ['store'],
  'http-proxy': ['api/passthrough.ts'],
  'prom-client': ['metrics/'],
  express: ['api/server.ts', 'admin'],
  helmet: ['admin'],
  undici: ['upstream'],
  'p-queue': ['upstream', 'airgap'],
  pino: ['log.ts'],
  zod: ['config', 'admin'],
  yaml: ['config', 'cli/config.ts', 'upstream', 'airgap/sources', 'node-config'],
  'tar-stream': ['airgap/bundle'],
  croner: ['airgap', 'config/values.ts'],
  commander: ['cli'],
  bcryptjs: ['access'],
  preact: ['page'],
  'preact/hooks': ['page'],
  htm: ['page/html.js'],
  uplot: ['page/parts/chart.js'],
}

interface Import {
  readonly file: string
  readonly specifier: string
  readonly isType: boolean
}

const IMPORT = /^(?:import|export)\s+(type\s+)?(?:[^'"]*?\sfrom\s+)?'([^']+)'/gm

function importsOf(file: string): Import[] {
  const source = readFileSync(join(SRC, file), 'utf8')
  return [...source.matchAll(IMPORT)].map((found) => ({
    file,
    specifier: found[2] ?? '',
    isType: found[1] !== undefined || /^import \{(?:\s*type [^,}]+,?)+\s*\} from/.test(found[0]),
  }))
}

function roomOf(file: string): string {
  return (file.split('/')[0] ?? '').replace(/\.[jt]s$/, '')
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) =>
  /\.[jt]s$/.test(name),
)
const imports = files.flatMap(importsOf)

test('rooms import only what the arrow allows', () => {
  const breaches = imports.filter(({ file, specifier, isType }) => {
    if (!specifier.startsWith('.')) return false
    const from = roomOf(file)
    const to = roomOf(relative(SRC, resolve(SRC, dirname(file), specifier)))
    if (from === to || FREE.has(from)) return false
    const rule = MAY_IMPORT[from]
    return !(rule?.values.includes(to) || (isType && rule?.types.includes(to)))
  })
  assert.deepEqual(breaches, [])
})

test('every room is ruled', () => {
  const rooms = new Set(files.map(roomOf))
  assert.deepEqual(
    [...rooms].filter((room) => !(room in MAY_IMPORT) && !FREE.has(room)),
    [],
  )
})

test('packages are imported only where they are at home', () => {
  const strays = imports.filter(({ file, specifier }) => {
    const homes = HOMES[specifier]
    return homes !== undefined && !homes.some((home) => file.startsWith(home))
  })
  assert.deepEqual(strays, [])
})

test('nothing but types is imported from node:http: that costs each process 11 MiB', () => {
  const offenders = imports.filter(({ specifier, isType }) => specifier === 'node:http' && !isType)
  assert.deepEqual(offenders, [])
})

test('every package that src imports is a dependency, and every dependency is imported', () => {
  const manifest = JSON.parse(readFileSync(join(SRC, '../package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  const external = imports
    .map(({ specifier }) => specifier)
    .filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
  const names = new Set(
    external.map((name) =>
      name
        .split('/')
        .slice(0, name[0] === '@' ? 2 : 1)
        .join('/'),
    ),
  )
  assert.deepEqual([...names].sort(), Object.keys(manifest.dependencies).sort())
})

test('only a program ends its process, and only config, main and cli read the environment', () => {
  const offenders = files.filter((file) => {
    const source = readFileSync(join(SRC, file), 'utf8')
    const ends = /process\.exit\(/.test(source) && !PROGRAMS.has(file)
    const reads =
      /process\.env\b|\benv \} = process/.test(source) && !/^(?:main|cli|config)\b/.test(file)
    return ends || reads
  })
  assert.deepEqual(offenders, [])
})

test('no module keeps state: nothing at the top level of a module can change', () => {
  const offenders = files.filter((file) => /^let\s/m.test(readFileSync(join(SRC, file), 'utf8')))
  assert.deepEqual(offenders, [])
})
