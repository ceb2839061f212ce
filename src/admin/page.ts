import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { Request, RequestHandler, Response } from 'express'

const FOLDER = join(import.meta.dirname, '../page')
const BASE = '/ui/'

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** All that is served of other packages, by its name below `/ui/vendor/`. */
const VENDOR: Readonly<Record<string, string>> = {
  'preact.js': 'preact',
  'hooks.js': 'preact/hooks',
  'htm.js': 'htm',
  'uplot.js': 'uplot/dist/uPlot.esm.js',
  'uplot.css': 'uplot/dist/uPlot.min.css',
}

interface Asset {
  readonly type: string
  readonly plain: Buffer
  readonly gzipped: Buffer
  readonly etag: string
  readonly policy: string
}

/** The dashboard, at `/`: the files of `src/page` and what they use, from memory, as they are. */
export function createPage(): RequestHandler {
  const files = listFiles()
  const assets = new Map<string, Promise<Asset>>()
  const read = (file: string) => {
    const known = assets.get(file)
    if (known !== undefined) return known
    const asset = load(file)
    assets.set(file, asset)
    asset.catch(() => assets.delete(file))
    return asset
  }
  return async (request, response, next) => {
    const file =
      request.method === 'GET' || request.method === 'HEAD' ? files.get(request.path) : undefined
    if (file === undefined) return next()
    send(await read(file), request, response)
  }
}

/** Nothing that a request says becomes part of a file's name: what is not listed is not there. */
function listFiles(): ReadonlyMap<string, string> {
  const own = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((name) => extname(name) in MEDIA_TYPES)
    .map((name) => [`${BASE}${name}`, join(FOLDER, name)] as const)
  const others = Object.entries(VENDOR).map(
    ([name, specifier]) =>
      [`${BASE}vendor/${name}`, fileURLToPath(import.meta.resolve(specifier))] as const,
  )
  return new Map([...own, ...others, ['/', join(FOLDER, 'index.html')]])
}

async function load(file: string): Promise<Asset> {
  const plain = await readFile(file)
  const hash = createHash('sha256').update(plain).digest('base64url').slice(0, 22)
  return {
    type: MEDIA_TYPES[extname(file)] ?? 'application/octet-stream',
    plain,
    gzipped: gzipSync(plain, { level: 9 }),
    etag: hash,
    policy: policyOf(plain.toString()),
  }
}

function send(asset: Asset, request: Request, response: Response): void {
  const isZipped = request.acceptsEncodings('gzip', 'identity') === 'gzip'
  response.setHeader('Content-Security-Policy', asset.policy)
  response.setHeader('Content-Type', asset.type)
  response.setHeader('Vary', 'Accept-Encoding')
  // An update of Larder changes them all at once: asked for each time, and mostly answered with 304.
  response.setHeader('Cache-Control', 'no-cache')
  response.setHeader('ETag', `"${asset.etag}${isZipped ? '-gz' : ''}"`)
  if (isZipped) response.setHeader('Content-Encoding', 'gzip')
  response.send(isZipped ? asset.gzipped : asset.plain)
}

/**
 * Nothing but what this listener serves: no inline code or style, no other host, no frame. The
 * import map is the only inline script there is, by its hash. Text can never become HTML: the page
 * has no Trusted Types policy, so the browser refuses every attempt.
 */
function policyOf(text: string): string {
  const [, map] = /<script type="importmap">([\s\S]*?)<\/script>/.exec(text) ?? []
  const hash =
    map === undefined ? '' : ` 'sha256-${createHash('sha256').update(map).digest('base64')}'`
  return [
    "default-src 'none'",
    `script-src 'self'${hash}`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
}
