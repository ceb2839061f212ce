/** What holds between the keys of one upstream. */
import { isLoopback, parseMatch } from './addresses.ts'
import type { Path } from './problems.ts'
import type { Report } from './rules.ts'
import type { CredentialInput, UpstreamInput } from './upstream-schema.ts'
import { parseHttpUrl } from './urls.ts'

interface UpstreamRule {
  /** Keys that have to fit the schema for the rule to mean anything. */
  readonly reads: readonly (keyof UpstreamInput)[]
  /** Paths are those within the upstream. */
  check(upstream: Partial<UpstreamInput>, report: Report): void
}

export const UPSTREAM_RULES: readonly UpstreamRule[] = [
  { reads: ['name', 'match'], check: checkDefaultMatch },
  { reads: ['url', 'plainHttp'], check: checkUrl },
  { reads: ['mirrors', 'plainHttp'], check: checkMirrors },
  { reads: ['trustedRealms', 'plainHttp'], check: checkRealms },
  { reads: ['access'], check: checkAccess },
  { reads: ['credentials'], check: checkCredentials },
  { reads: ['clientCertFile', 'clientKeyFile'], check: checkClientCertificate },
]

const ACCESS_NEEDED = [
  'must be said where there are credentials.',
  'public: only what anyone can pull without an account is served, to everyone.',
  'shared: everything these credentials can read is served to everyone the front door lets in.',
  'caller: what is not public is served only to callers whose own credential the registry accepts.',
].join(' ')

function checkDefaultMatch({ name, match }: Partial<UpstreamInput>, report: Report): void {
  if (match || name === undefined || parseMatch(name) !== undefined) return
  report(['name'], "is not a registry's host, so match has to say which hosts select this upstream")
}

function checkUrl({ url, plainHttp }: Partial<UpstreamInput>, report: Report): void {
  if (url !== undefined) checkScheme(['url'], url, plainHttp, report)
}

function checkMirrors({ mirrors, plainHttp }: Partial<UpstreamInput>, report: Report): void {
  for (const [index, mirror] of (mirrors ?? []).entries()) {
    checkScheme(['mirrors', index], mirror, plainHttp, report)
  }
}

function checkRealms({ trustedRealms, plainHttp }: Partial<UpstreamInput>, report: Report): void {
  for (const [index, realm] of (trustedRealms ?? []).entries()) {
    checkScheme(['trustedRealms', index], realm, plainHttp, report)
  }
}

function checkScheme(
  path: Path,
  text: string,
  plainHttp: boolean | null | undefined,
  report: Report,
): void {
  const url = parseHttpUrl(text)
  if (url?.protocol !== 'http:' || plainHttp === true || isLoopback(url.hostname)) return
  report(path, 'http:// sends everything in the clear: use https://, or say plainHttp: true')
}

function checkAccess({ access, credentials }: Partial<UpstreamInput>, report: Report): void {
  const given = Array.isArray(credentials) && credentials.length > 0
  if (given && !access) report(['access'], ACCESS_NEEDED)
}

function checkCredentials({ credentials }: Partial<UpstreamInput>, report: Report): void {
  for (const [index, credential] of (credentials ?? []).entries()) {
    checkCredential(credential, (path, message) => report(['credentials', index, ...path], message))
  }
}

function checkCredential(credential: CredentialInput, report: Report): void {
  const { path, username, password, passwordFile } = credential
  const { dockerConfigFile, kubeletCredentialProvider } = credential
  const isPassword = [username, password, passwordFile].some(isSaid)
  const kinds = [isPassword, isSaid(dockerConfigFile), isSaid(kubeletCredentialProvider)]
  if (kinds.filter(Boolean).length !== 1) {
    report(
      [],
      'expected one of: username with passwordFile, dockerConfigFile, kubeletCredentialProvider',
    )
    return
  }
  if (!isPassword) {
    if (isSaid(path))
      report(['path'], 'goes with username only: other sources name paths themselves')
    return
  }
  if (!isSaid(username)) report([], 'needs username beside the password')
  if (isSaid(password) === isSaid(passwordFile)) {
    report([], `needs ${isSaid(password) ? 'only one' : 'one'} of password and passwordFile`)
  }
}

function checkClientCertificate(upstream: Partial<UpstreamInput>, report: Report): void {
  const { clientCertFile, clientKeyFile } = upstream
  if (clientCertFile && !clientKeyFile) report(['clientCertFile'], 'needs clientKeyFile beside it')
  if (clientKeyFile && !clientCertFile) report(['clientKeyFile'], 'needs clientCertFile beside it')
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null
}
