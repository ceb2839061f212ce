/** What holds between keys. Each rule is skipped where what it reads does not fit the schema. */
import { isWildcard, parseAddress } from './addresses.ts'
import { isMap, mapsIn } from './data.ts'
import { DEFAULT_VALUES } from './defaults.ts'
import { inheritDefaults, writtenAt } from './inherit.ts'
import { formatPath, type Path } from './problems.ts'
import type { ConfigInput } from './schema.ts'
import { isMisshapen, type Misfit } from './shape.ts'
import { checkUniqueness } from './uniqueness.ts'
import { UPSTREAM_RULES } from './upstream-rules.ts'
import type { UpstreamInput } from './upstream-schema.ts'

export type Report = (path: Path, message: string) => void

/** Whether everything at and under `path` fits the schema. */
export type Fits = (path: Path) => boolean

interface Rule {
  /** Keys at the root, or paths, that have to fit for the rule to mean anything. */
  readonly reads: readonly Path[]
  check(config: ConfigInput, report: Report): void
}

const RULES: readonly Rule[] = [
  { reads: [['server', 'tls']], check: checkTls },
  {
    reads: [
      ['server', 'listen'],
      ['server', 'adminListen'],
    ],
    check: checkListeners,
  },
  { reads: [['auth'], ['server', 'tls']], check: checkAuth },
]

/**
 * Every breach of a rule.
 *
 * @param data the whole configuration, of which `misfits` do not fit the schema
 */
export function findBreaches(data: unknown, misfits: readonly Misfit[]): readonly Misfit[] {
  const breaches = new Map<string, Misfit>()
  const report: Report = (path, message) => {
    // What `defaults` does wrong is said once, not once an upstream.
    const written = writtenAt(data, path)
    breaches.set(`${formatPath(written)} ${message}`, { path: written, message, isKey: false })
  }
  const fits: Fits = (path) => !isMisshapen(misfits, path)
  const config = (isMap(data) ? data : {}) as ConfigInput
  for (const { reads, check } of RULES) {
    const wholes = reads.flatMap((path) => path.map((_, index) => path.slice(0, index)))
    const isWhole = (path: Path) => !misfits.some((misfit) => isSame(misfit.path, path))
    if (reads.every(fits) && wholes.every(isWhole)) check(config, report)
  }
  checkUpstreams(config, fits, report)
  checkUniqueness(config, fits, report)
  return [...breaches.values()]
}

function checkTls({ server }: ConfigInput, report: Report): void {
  const { certFile, keyFile, clientCaFile } = server?.tls ?? {}
  const path = ['server', 'tls']
  if (certFile && !keyFile) report([...path, 'certFile'], 'needs keyFile beside it')
  if (keyFile && !certFile) report([...path, 'keyFile'], 'needs certFile beside it')
  if (clientCaFile && !certFile && !keyFile) {
    report([...path, 'clientCaFile'], 'needs certFile and keyFile beside it')
  }
}

function checkListeners({ server }: ConfigInput, report: Report): void {
  const [listen, admin] = [
    parseAddress(server?.listen ?? DEFAULT_VALUES.listen),
    parseAddress(server?.adminListen ?? DEFAULT_VALUES.adminListen),
  ]
  if (listen === undefined || admin === undefined || listen.port === 0) return
  const hosts = [listen.host, admin.host]
  const overlap = listen.host === admin.host || hosts.some(isWildcard)
  if (listen.port === admin.port && overlap) {
    report(['server', 'adminListen'], 'must be another address than listen')
  }
}

function checkAuth({ auth, server }: ConfigInput, report: Report): void {
  if (auth === undefined) return
  if (!auth.htpasswdFile && !auth.clientCertificates) {
    report(['auth'], 'lets nobody in: give htpasswdFile or clientCertificates, or leave auth out')
  }
  if (auth.clientCertificates && !server?.tls?.clientCaFile) {
    report(['auth', 'clientCertificates'], 'needs server.tls.clientCaFile, to tell whose they are')
  }
}

/** The upstreams' own rules, over what each has after merging `defaults`. */
function checkUpstreams(config: ConfigInput, fits: Fits, report: Report): void {
  for (const [index, own] of mapsIn(config.upstreams)) {
    const at: Path = ['upstreams', index]
    const upstream = inheritDefaults(config.defaults, own)
    for (const { reads, check } of UPSTREAM_RULES) {
      if (!reads.every((key) => fits([...at, key]) && fits(['defaults', key]))) continue
      check(upstream, (path, message) => report([...at, ...path], message))
    }
    const path: Path = [...at, 'access']
    if (fits(['auth']) && fits(path) && fits(['defaults', 'access'])) {
      checkRoomForCallers(config, upstream, (message) => report(path, message))
    }
  }
}

/** There is one `Authorization` in a request. */
function checkRoomForCallers(
  { auth }: ConfigInput,
  { access }: Partial<UpstreamInput>,
  report: (message: string) => void,
): void {
  if (access !== 'caller' || !auth?.htpasswdFile || auth.clientCertificates) return
  report(
    'caller needs the login that auth.htpasswdFile takes for the front door: ' +
      'open that with auth.clientCertificates, or leave auth out',
  )
}

function isSame(a: Path, b: Path): boolean {
  return formatPath(a) === formatPath(b)
}
