import { bytes, percent, plural } from '../../format.js'
import { html } from '../../html.js'

/**
 * @typedef {import('../../../admin/shapes.ts').OverviewAnswer} Overview
 * @typedef {{ id: string, kind: 'warn' | 'bad', what: string, advice: any }} Concern
 */

/** A quota or a disk with less left than this is about to be a trouble. */
const LITTLE = 0.1

/**
 * What is wrong or is about to be, and what to do about it; nothing where nothing is.
 *
 * @param {{ overview: Overview }} props
 */
export function Concerns({ overview }) {
  const concerns = [...overview.warnings.map(warned), ...storageConcerns(overview)]
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
