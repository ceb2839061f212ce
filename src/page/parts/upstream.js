import { count, duration } from '../format.js'
import { html } from '../html.js'
import { State } from './status.js'

/** @typedef {import('../../admin/shapes.ts').UpstreamAnswer} Upstream */

/** What the words of the API for errors mean. @type {Readonly<Record<string, string>>} */
const REASONS = {
  auth: 'It refused to answer, with the credential that Larder has',
  circuit_open: 'It was left alone, after it had failed before',
  connect: 'No connection to it',
  credential: 'No credential could be had for it',
  descriptors: 'Larder had no file descriptor left for a connection',
  digest_mismatch: 'It sent bytes that are not what their digest says',
  dns: 'Its name was not found',
  encoding: 'It sent something compressed that must not be',
  http_5xx: 'It answered with an error of its own (5xx)',
  protocol: 'It answered with what is not HTTP, or not a registry',
  queue_full: 'Too much waited for it already',
  queue_timeout: 'Something waited for a place for too long',
  realm: 'It named a token endpoint that is not trusted',
  redirect: 'It redirected to where Larder does not go',
  reset: 'The connection broke off',
  size_mismatch: 'It sent more or less than it had said',
  throttled: 'It asked for fewer requests (429)',
  timeout: 'It did not answer in time',
  tls: 'Its certificate, or TLS with it, failed',
  too_slow: 'It sent too slowly',
}

/** @param {string} reason */
export function reasonText(reason) {
  return REASONS[reason] ?? reason
}

/** How a registry is, in a word or three. @param {{ upstream: Upstream }} props */
export function UpstreamState({ upstream }) {
  const { blocked, offline, circuit, restsMs, waiting, requests } = upstream
  if (blocked !== undefined) return html`<${State} kind="warn">Blocked<//>`
  if (offline) return html`<${State} kind="off">Offline<//>`
  if (circuit === 'open') return html`<${State} kind="bad">Not reached<//>`
  if (restsMs > 0) return html`<${State} kind="warn">Rests for ${duration(restsMs / 1000)}<//>`
  if (circuit === 'half_open') return html`<${State} kind="warn">Tried again<//>`
  if (waiting > 0) return html`<${State} kind="ok">${count(waiting)} waiting<//>`
  if (requests.total === 0) return html`<${State} kind="off">Not asked yet<//>`
  if (hasJustFailed(upstream)) return html`<${State} kind="warn">Failed last<//>`
  return html`<${State} kind="ok">Answers<//>`
}

/** @param {Upstream} upstream */
function hasJustFailed({ recentErrors: [latest], lastSuccessAt = 0 }) {
  return latest !== undefined && latest.lastAt > lastSuccessAt
}

/** What is left of Larder's quota there. @param {{ rateLimit: Upstream['rateLimit'] }} props */
export function Quota({ rateLimit }) {
  const { limit, remaining } = rateLimit ?? {}
  if (remaining === undefined) return html`<span class="soft">–</span>`
  return html`<span class="nowrap">${count(remaining)}${limit === undefined ? '' : ` / ${count(limit)}`}</span>`
}
