import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'

import { stringify } from 'yaml'

import { freePort, Server } from './proc.ts'

const REGISTRY = 'docker-registry'
const ROOT = resolve(import.meta.dirname, '../..')

/** Where a server keeps what it has, and whether it logs each request. */
export interface Place {
  readonly folder: string
  readonly accessLog: boolean
  /** Serve over TLS, with these. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string }
}

/** The registry that everything is pulled from; its access log says how often. */
export async function startUpstream({ folder }: Pick<Place, 'folder'>): Promise<Server> {
  return startRegistry('upstream', { folder, accessLog: true }, {})
}

/** distribution as a pull-through cache. */
export async function startPeer(place: Place, upstream: Server): Promise<Server> {
  return startRegistry('distribution', place, { proxy: { remoteurl: upstream.url } })
}

async function startRegistry(name: string, place: Place, extra: object): Promise<Server> {
  const port = await freePort()
  const folder = await makeFolder(place, name)
  const file = join(folder, 'config.yml')
  const config = {
    version: 0.1,
    log: { level: 'warn', accesslog: { disabled: !place.accessLog } },
    storage: {
      cache: { blobdescriptor: 'inmemory' },
      filesystem: { rootdirectory: join(folder, 'data') },
    },
    http: {
      addr: `127.0.0.1:${port}`,
      secret: 'bench',
      ...(place.tls && { tls: { certificate: place.tls.certFile, key: place.tls.keyFile } }),
    },
    ...extra,
  }
  await writeFile(file, stringify(config))
  const logPath = join(folder, 'log')
  const args = ['serve', file]
  const isSecure = place.tls !== undefined
  return Server.start({ name, file: REGISTRY, args, port, logPath, readyPath: '/v2/', isSecure })
}

export interface LarderSetup {
  /** Processes that send to clients. */
  readonly workers?: number
  /** The processors it has; default: all. */
  readonly cpus?: string
}

export async function startLarder(
  place: Place,
  upstream: Server,
  { workers = 1, cpus }: LarderSetup = {},
): Promise<Server> {
  const [port, adminPort] = [await freePort(), await freePort()]
  const folder = await makeFolder(place, 'larder')
  const file = join(folder, 'larder.yaml')
  const listen = `127.0.0.1:${port}`
  const tls = place.tls && { tls: place.tls }
  const config = {
    version: 1,
    server: { listen, adminListen: `127.0.0.1:${adminPort}`, workers, ...tls },
    log: { level: place.accessLog ? 'info' : 'warn' },
    storage: { path: join(folder, 'data') },
    upstreams: [
      { name: 'reg.test', match: ['reg.test'], default: true, url: upstream.url, access: 'public' },
    ],
  }
  await writeFile(file, stringify(config))
  return Server.start({
    name: 'larder',
    file: process.execPath,
    // What the image, the unit and `npm start` give it too.
    args: ['--max-semi-space-size=4', 'src/main.ts', 'serve', '-c', file],
    cwd: ROOT,
    port,
    logPath: join(folder, 'log'),
    readyPath: '/v2/',
    isSecure: place.tls !== undefined,
    metricsUrl: `http://127.0.0.1:${adminPort}/metrics`,
    ...(cpus !== undefined && { cpus }),
  })
}

/** nginx as the floor: files under `/files/` with sendfile, everything else through its cache. */
export async function startNginx(place: Place, upstream: Server): Promise<Server> {
  const port = await freePort()
  const folder = await makeFolder(place, 'nginx')
  await mkdir(join(folder, 'files'))
  const file = join(folder, 'nginx.conf')
  await writeFile(file, nginxConfig(folder, port, place, upstream))
  const logPath = join(folder, 'log')
  const args = ['-p', folder, '-c', file, '-e', join(folder, 'error.log')]
  const isSecure = place.tls !== undefined
  const command = { name: 'nginx', file: 'nginx', args, port, logPath, readyPath: '/ready' }
  return Server.start({ ...command, isSecure })
}

/** A folder that nginx serves as `/files/`. */
export function filesOf(nginx: Server): string {
  return join(nginx.logPath, '../files')
}

function nginxConfig(folder: string, port: number, place: Place, upstream: Server): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
daemon off;
worker_processes 1;
pid ${folder}/pid;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 1024; }
http {
  access_log ${place.accessLog ? `${folder}/access.log` : 'off'};
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  ${temporary.map((name) => `${name}_temp_path ${folder}/tmp-${name};`).join('\n  ')}
  proxy_cache_path ${folder}/cache levels=1:2 keys_zone=blobs:10m max_size=20g;
  server {
    listen 127.0.0.1:${port}${place.tls ? ' ssl' : ''};
    ${place.tls ? `ssl_certificate ${place.tls.certFile}; ssl_certificate_key ${place.tls.keyFile};` : ''}
    location = /ready { return 204; }
    location /files/ { root ${folder}; }
    location / {
      proxy_pass ${upstream.url};
      proxy_http_version 1.1;
      proxy_cache blobs;
      proxy_cache_key $uri;
      proxy_cache_valid 200 1h;
      proxy_cache_lock on;
      proxy_cache_lock_age 120s;
      proxy_cache_lock_timeout 120s;
    }
  }
}
`
}

async function makeFolder(place: Place, name: string): Promise<string> {
  const folder = join(place.folder, name)
  await mkdir(folder, { recursive: true })
  return folder
}

/** Lines of an access log that begin a GET of a blob, so far. */
export async function countBlobGets(upstream: Server): Promise<number> {
  const log = await readFile(upstream.logPath, 'utf8')
  return log.match(/"GET \/v2\/\S+\/blobs\/sha256:/g)?.length ?? 0
}

/** The same, of every request. */
export async function countRequests(upstream: Server): Promise<number> {
  const log = await readFile(upstream.logPath, 'utf8')
  return log.match(/"(?:GET|HEAD) \/v2\/\S+/g)?.length ?? 0
}
