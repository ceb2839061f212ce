import { bytes, percent, plural, relative } from '../../format.js'
import { html } from '../../html.js'
import { reasonText } from '../../parts/upstream.js'
import { hrefOf } from '../../route.js'
import { useServices } from '../../services.js'

/**
 * @typedef {import('../../../admin/shapes.ts').OverviewAnswer} Overview
 * @typedef {import('../../../admin/shapes.ts').UpstreamAnswer} Upstream
 * @typedef {{ id: string, kind: 'warn' | 'bad', what: string, advice: any }} Concern
 */

/** A quota or a disk with less left than this is about to be a trouble. */
const LITTLE = 0.1
const SOON_MS = 7 * 24 * 3_600_000

/**
 * What is wrong or is about to be, and what to do about it; nothing where nothing is.
 *
 * @param {{ overview: Overview, upstreams: readonly Upstream[] | undefined }} props
 */
export function Concerns({ overview, upstreams = [] }) {
  const { api } = useServices()
  const concerns = [
    ...overview.warnings.map(warned),
    ...storageConcerns(overview),
    ...upstreams.flatMap((upstream) => upstreamConcerns(upstream, api.now)),
  ]
  if (concerns.length === 0) return null
  const sorted = concerns.toSorted((one, other) =>
    one.kind < other.kind ? -1 : one.kind > other.kind ? 1 : 0,
  )
  return html`<section class="card" aria-label="Needs a look">
    <ul class="concerns">
      ${sorted.map(
        ({ id, kind, what, advice }) => html`<li key=${id}>
          <span class=${`state ${kind}`}><span class="unseen">${kind === 'bad' ? 'Trouble' : 'Warning'}</span></span>
          <span><strong>${what}.</strong>${' '}<span class="advice">${advice}</span></span>
        </li>`,
      )}
    </ul>
  </section>`
}

/**
 * @param {string} text
 * @returns {Concern}
 */
function warned(text) {
  return { id: text, kind: 'warn', what: text, advice: undefined }
}

/**
 * @param {Overview} overview
 * @returns {Concern[]}
 */
function storageConcerns({ storage, pins }) {
  /** @type {Concern[]} */
  const concerns = []
  if (pins.incomplete > 0) {
    concerns.push({
      id: 'pins',
      kind: 'warn',
      what: `${plural(pins.incomplete, 'pinned image')} ${pins.incomplete === 1 ? 'is' : 'are'} not whole: ${bytes(pins.missingBytes)} missing`,
      advice: html`Without its registry it could not be pulled. <a href="#/preload">Preload</a> it again.`,
    })
  }
  if (pins.pinnedBytes > storage.quotaBytes * (1 - LITTLE) && storage.quotaBytes > 0) {
    concerns.push({
      id: 'pinned',
      kind: 'warn',
      what: `${percent(pins.pinnedBytes / storage.quotaBytes)} of the cache is pinned`,
      advice: html`Little is left for what is pulled. Raise <code>storage.maxSize</code>, or unpin some.`,
    })
  }
  return concerns
}

/**
 * @param {Upstream} upstream
 * @param {number} now
 * @returns {Concern[]}
 */
function upstreamConcerns(
  { name, circuit, blocked, rateLimit, credentialExpiresAt, recentErrors },
  now,
) {
  /** @type {Concern[]} */
  const concerns = []
  const look = html`<a href=${hrefOf(['upstreams'])}>See upstreams</a>`
  if (blocked === undefined && circuit === 'open') {
    const reason = recentErrors[0]?.reason
    concerns.push({
      id: `circuit ${name}`,
      kind: 'bad',
      what: `${name} cannot be reached${reason === undefined ? '' : `: ${lower(reasonText(reason))}`}`,
      advice: html`What is cached is still served; what is not fails at once. It is tried again by itself. ${look}`,
    })
  }
  const { limit, remaining } = rateLimit ?? {}
  if (limit !== undefined && remaining !== undefined && remaining < limit * LITTLE) {
    concerns.push({
      id: `quota ${name}`,
      kind: 'warn',
      what: `${name} allows ${plural(remaining, 'more pull')} of ${limit}`,
      advice: html`When none is left, what is not cached waits. An account gives more. ${look}`,
    })
  }
  if (credentialExpiresAt !== undefined && credentialExpiresAt - now < SOON_MS) {
    const isOver = credentialExpiresAt <= now
    concerns.push({
      id: `credential ${name}`,
      kind: isOver ? 'bad' : 'warn',
      what: `A credential for ${name} ${isOver ? 'expired' : 'expires'} ${relative(credentialExpiresAt, now)}`,
      advice: html`Renew it, or look at what renews it. ${look}`,
    })
  }
  return concerns
}

/** @param {string} text */
function lower(text) {
  return `${text.charAt(0).toLowerCase()}${text.slice(1)}`
}
