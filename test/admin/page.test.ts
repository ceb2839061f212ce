/** The dashboard as a browser gets it, without a browser: which files, how, and nothing besides. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'

import { type ClientRequest, type ClientResponse, send } from '../support/http-client.ts'
import { jsonOf, Site } from './site.ts'

const FOLDER = join(import.meta.dirname, '../../src/page')
const JAVASCRIPT = 'text/javascript; charset=utf-8'
/** What a first look may cost, in bytes that are sent. */
const MAX_FIRST_VIEW = 200_000

function get(site: Site, path: string, headers: ClientRequest['headers'] = {}) {
  return send(site.url, path, { headers })
}

/** What `default-src` and so on say. */
function policyOf({ headers }: ClientResponse): ReadonlyMap<string, string> {
  const directives = String(headers['content-security-policy']).split(';')
  return new Map(
    directives.map((directive) => {
      const [name = '', ...values] = directive.trim().split(' ')
      return [name, values.join(' ')] as const
    }),
  )
}

function importMapOf(text: string): {
  readonly source: string
  readonly imports: Map<string, string>
} {
  const source = /<script type="importmap">([\s\S]*?)<\/script>/.exec(text)?.[1] ?? ''
  return { source, imports: new Map(Object.entries(JSON.parse(source).imports)) }
}

/** The paths of every module that `paths` need in the end, as a browser would ask for them. */
async function modulesFrom(site: Site, paths: readonly string[], isLazy: boolean) {
  const { imports } = importMapOf((await get(site, '/')).body.toString())
  const found = new Map<string, ClientResponse>()
  const wanted = [...paths]
  for (let path = wanted.pop(); path !== undefined; path = wanted.pop()) {
    if (found.has(path)) continue
    const response = await get(site, path, { 'Accept-Encoding': 'gzip' })
    assert.equal(response.status, 200, path)
    assert.equal(response.headers['content-type'], JAVASCRIPT, path)
    found.set(path, response)
    const source = gunzipSync(response.body).toString()
    const named = /(?:^|[\n;}])\s*(?:import|export)\b[^'"();]*?from\s*["']([^"']+)["']/g
    const specifiers = [...source.matchAll(named)].map(([, one = '']) => one)
    if (isLazy) {
      specifiers.push(
        ...[...source.matchAll(/=>\s*import\('([^']+)'\)/g)].map(([, one = '']) => one),
      )
    }
    for (const specifier of specifiers) {
      wanted.push(imports.get(specifier) ?? new URL(specifier, `http://page${path}`).pathname)
    }
  }
  return found
}

test('the page allows nothing but what this listener serves', async () => {
  await using site = await Site.start()
  const page = await get(site, '/')
  assert.equal(page.status, 200)
  assert.equal(page.headers['content-type'], 'text/html; charset=utf-8')
  const text = page.body.toString()
  const { source } = importMapOf(text)
  const hash = createHash('sha256').update(source).digest('base64')
  assert.deepEqual(Object.fromEntries(policyOf(page)), {
    'default-src': "'none'",
    'script-src': `'self' 'sha256-${hash}'`,
    'style-src': "'self'",
    'img-src': "'self'",
    'connect-src': "'self'",
    'base-uri': "'none'",
    'form-action': "'none'",
    'frame-ancestors': "'none'",
    'require-trusted-types-for': "'script'",
    'trusted-types': "'none'",
  })
  assert.equal(page.headers['x-content-type-options'], 'nosniff')
  assert.equal(page.headers['referrer-policy'], 'no-referrer')
  // Nothing inline but the map, and nothing from elsewhere.
  assert.doesNotMatch(
    text.replace(source, ''),
    /<script(?![^>]*src="\/ui\/)(?!\s+type="importmap")/,
  )
  assert.doesNotMatch(text, /<style|\sstyle=|\son\w+=|https?:/)
})

test('every file that the page names is there, with its type', async () => {
  await using site = await Site.start()
  const text = (await get(site, '/')).body.toString()
  const types = { '.js': JAVASCRIPT, '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' }
  const named = [...text.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, path = '']) => path)
  assert.ok(named.length >= 8)
  for (const path of named) {
    const { status, headers, body } = await get(site, path)
    assert.equal(status, 200, path)
    const type = types[path.slice(path.lastIndexOf('.')) as keyof typeof types]
    assert.equal(headers['content-type'], type, path)
    assert.equal(headers['content-length'], String(body.length))
  }
})

test('every module is there, and every file of the page is one that it needs', async () => {
  await using site = await Site.start()
  const modules = await modulesFrom(site, ['/ui/main.js'], true)
  const own = (await readdir(FOLDER, { recursive: true })).filter((name) => name.endsWith('.js'))
  assert.ok(own.length > 30)
  assert.deepEqual(
    [...modules.keys()].filter((path) => !path.startsWith('/ui/vendor/')).toSorted(),
    own.map((name) => `/ui/${name}`).toSorted(),
  )
  const { imports } = importMapOf((await get(site, '/')).body.toString())
  for (const path of imports.values()) assert.ok(modules.has(path), path)
})

test('a first look costs less than 200 KB', async () => {
  await using site = await Site.start()
  const page = await get(site, '/', { 'Accept-Encoding': 'gzip' })
  const text = gunzipSync(page.body).toString()
  const modules = await modulesFrom(site, ['/ui/main.js', '/ui/pages/overview.js'], false)
  const others = [...text.matchAll(/href="([^"]+\.(?:css|svg))"/g)].map(([, path = '']) => path)
  let bytes = page.body.length
  for (const { body } of modules.values()) bytes += body.length
  for (const path of others) {
    bytes += (await get(site, path, { 'Accept-Encoding': 'gzip' })).body.length
  }
  assert.ok(bytes > 50_000 && bytes < MAX_FIRST_VIEW, `${bytes} bytes`)
})

test('what a browser has already is not sent again, packed or not', async () => {
  await using site = await Site.start()
  const plain = await get(site, '/ui/base.css')
  const packed = await get(site, '/ui/base.css', { 'Accept-Encoding': 'br, gzip' })
  assert.deepEqual(plain.body, await readFile(join(FOLDER, 'base.css')))
  assert.equal(plain.headers['content-encoding'], undefined)
  assert.equal(packed.headers['content-encoding'], 'gzip')
  assert.deepEqual(gunzipSync(packed.body), plain.body)
  assert.notEqual(packed.headers.etag, plain.headers.etag)
  for (const { headers } of [plain, packed]) {
    assert.equal(headers['cache-control'], 'no-cache')
    assert.match(String(headers.vary), /accept-encoding/i)
    assert.match(headers.etag ?? '', /^"[\w-]+"$/)
  }
  const etag = packed.headers.etag ?? ''
  const again = await get(site, '/ui/base.css', {
    'Accept-Encoding': 'gzip',
    'If-None-Match': etag,
  })
  assert.deepEqual([again.status, again.body.length], [304, 0])
  const other = await get(site, '/ui/base.css', { 'If-None-Match': etag })
  assert.equal(other.status, 200)
  const head = await send(site.url, '/ui/base.css', { method: 'HEAD' })
  assert.deepEqual([head.status, head.body.length], [200, 0])
  assert.equal(head.headers['content-length'], String(plain.body.length))
})

test('nothing besides these files can be had, by no way of writing it', async () => {
  await using site = await Site.start()
  for (const path of [
    '/ui',
    '/ui/',
    '/ui/nothing.js',
    '/ui/../admin/page.ts',
    '/ui/../../package.json',
    '/ui/%2e%2e/%2e%2e/package.json',
    '/ui/..%2f..%2fpackage.json',
    '/ui/pages/..%5c..%5capi.js',
    '/ui//main.js',
    '/ui/./main.js',
    '/ui/main.js%00',
    '/ui/vendor',
    '/ui/vendor/preact.mjs.map',
    '/ui/vendor/../../../package.json',
    '/ui/vendor/uPlot.cjs.js',
    '/node_modules/preact/package.json',
    '/index.html',
  ]) {
    const { status, body } = await get(site, path)
    assert.deepEqual([status, body.toString()], [404, '{"error":"not found"}'], path)
  }
  const posted = await send(site.url, '/', { method: 'POST', body: '' })
  assert.equal(posted.status, 404)
})

test('the rest of the listener is where it was', async () => {
  await using site = await Site.start()
  assert.equal((await get(site, '/livez')).status, 200)
  assert.match((await get(site, '/metrics')).body.toString(), /^larder_build_info/m)
  assert.equal((await get(site, '/api/v1/upstreams')).status, 200)
  const missing = jsonOf(await get(site, '/api/v1/nowhere'))
  assert.equal(missing.error.code, 'NOT_FOUND')
})
