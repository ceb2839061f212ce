/** What is accepted, and probably not meant, or worth knowing. */
import { isLoopback } from './addresses.ts'
import type { Config, TagRule, UpstreamConfig } from './config.ts'
import { mapsIn, valueAt } from './data.ts'
import { BUILT_IN_TAGS } from './defaults.ts'
import { writtenAt } from './inherit.ts'
import type { Path } from './problems.ts'

export type Warn = (path: Path, message: string) => void

/**
 * Reports what is noteworthy in a configuration that is otherwise right.
 *
 * @param data what `config` was made of: what is said without effect is not in `config`
 */
export function findWarnings(config: Config, data: unknown, warn: Warn): void {
  const { server, admin, auth } = config
  if (!isLoopback(server.adminListen.host) && admin.tokenFile === undefined) {
    warn(
      ['server', 'adminListen'],
      'is reachable from elsewhere and admin.tokenFile is not set: changes are refused',
    )
  }
  if (
    auth?.htpasswdFile !== undefined &&
    server.tls === undefined &&
    !isLoopback(server.listen.host)
  ) {
    warn(['auth', 'htpasswdFile'], 'without server.tls passwords come in the clear')
  }
  for (const [index, upstream] of config.upstreams.entries()) {
    const warnHere: Warn = (path, message) => warn(['upstreams', index, ...path], message)
    warnOfUpstream(config, upstream, warnHere)
    warnOfRefresh(
      upstream.tags,
      valueAt(data, writtenAt(data, ['upstreams', index, 'tags'])),
      warnHere,
    )
  }
}

function warnOfUpstream(config: Config, upstream: UpstreamConfig, warn: Warn): void {
  if (upstream.access === 'shared' && config.auth === undefined) {
    warn(['access'], 'shared without auth: anyone who reaches the port reads what Larder can read')
  }
  if (upstream.access === 'caller' && config.server.tls === undefined) {
    warn(
      ['access'],
      upstream.allowPlainChallenge
        ? 'callers send their passwords in the clear: server.tls is not set'
        : 'callers cannot be asked who they are: that needs server.tls or allowPlainChallenge',
    )
  }
  if (isPlain(upstream.url) && upstream.credentials.length > 0) {
    warn(['credentials'], 'are sent in the clear: the url is http://')
  }
  for (const [index, match] of upstream.match.entries()) {
    if (/[.:]/.test(match) || match === 'localhost') continue
    warn(['match', index], `${match} has no dot and no port: it hides repositories ${match}/…`)
  }
  // What says its registry with `?ns=`, or means the default one, needs no path.
  if (!upstream.default && upstream.match.every((match) => match.includes(':'))) {
    warn(['match'], 'no client can put a name with a port in a path: add a name without a port')
  }
  warnOfTags(upstream.tags, warn)
}

function isPlain(text: string): boolean {
  const url = new URL(text)
  return url.protocol === 'http:' && !isLoopback(url.hostname)
}

/** The built-in rules are last, so that the rule after the first catch-all is the user's or built in. */
function warnOfTags(tags: readonly TagRule[], warn: Warn): void {
  const own = tags.slice(0, -BUILT_IN_TAGS.length)
  const catchAll = own.findIndex(
    ({ match, repository }) => /^\*+$/.test(match) && repository === '**',
  )
  if (catchAll < 0 || catchAll === own.length - 1) return
  warn(['tags', catchAll + 1], `is never reached: tags.${catchAll} matches every tag`)
}

/** @param written the list of rules that `tags` begins with, if one was written */
function warnOfRefresh(tags: readonly TagRule[], written: unknown, warn: Warn): void {
  for (const [index, { refresh }] of mapsIn(written)) {
    const policy = tags[index]?.pullPolicy
    if ((refresh ?? undefined) === undefined || policy === 'IfNotPresent') continue
    const why = policy === 'Never' ? 'the registry is never asked' : 'the registry is asked first'
    warn(['tags', index, 'refresh'], `has no effect: with pullPolicy ${policy} ${why}`)
  }
}
