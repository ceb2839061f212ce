import { useState } from 'preact/hooks'

import { bytes, plural } from '../../format.js'
import { html } from '../../html.js'
import { useLoad } from '../../load.js'
import { Meter } from '../../parts/bar.js'
import { Card } from '../../parts/card.js'
import { Loaded } from '../../parts/status.js'
import { Time } from '../../parts/text.js'
import { hrefOf } from '../../route.js'

/** @typedef {import('../../../admin/shapes.ts').UsageAnswer} Used */

const EVERY_MS = 60_000
const MAX_ROWS = 12

/** Who takes the room: registries, or repositories. */
export function Usage() {
  const usage = useLoad('/storage/usage', EVERY_MS)
  const [by, setBy] = useState(/** @type {'registry' | 'repository'} */ ('registry'))
  const choose = html`<div class="choices" role="group" aria-label="By">
    ${
      /** @type {const} */ (['registry', 'repository']).map(
        (one) =>
          html`<button type="button" key=${one} aria-pressed=${String(one === by)} onClick=${() => setBy(one)}>
          ${one === 'registry' ? 'By registry' : 'By repository'}
        </button>`,
      )
    }
  </div>`
  return html`<${Card} title="Who takes it" actions=${choose}>
    <${Loaded} of=${usage}>
      ${(/** @type {Used} */ data) => html`<${Rows} rows=${rowsOf(data, by)} />
        <p class="small soft">
          Counted <${Time} at=${data.countedAt} />. What several need counts for each of them.
        </p>`}
    <//>
  <//>`
}

/**
 * @typedef {{ name: string, href: string, bytes: number, sharedBytes: number, blobs: number }} Row
 *
 * @param {Used} usage
 * @param {'registry' | 'repository'} by
 * @returns {Row[]}
 */
function rowsOf({ upstreams, repositories }, by) {
  if (by === 'registry') {
    return upstreams.map(({ upstream, ...sizes }) => ({
      name: upstream,
      href: hrefOf(['images'], { search: `${upstream}/` }),
      ...sizes,
    }))
  }
  return repositories.slice(0, MAX_ROWS).map(({ upstream, repository, ...sizes }) => ({
    name: `${upstream}/${repository}`,
    href: hrefOf(['images'], { search: `${upstream}/${repository}:` }),
    ...sizes,
  }))
}

/** @param {{ rows: readonly Row[] }} props */
function Rows({ rows }) {
  if (rows.length === 0) return html`<p class="soft">Nothing is here yet.</p>`
  const max = Math.max(...rows.map((row) => row.bytes))
  return html`<ul class="bars">
    ${rows.map(
      ({ name, href, bytes: size, sharedBytes, blobs }) => html`<li key=${name}>
        <span class="bar-head">
          <a class="name" href=${href}>${name}</a>
          <span class="nowrap" title=${plural(blobs, 'content')}>
            ${sharedBytes > 0 ? html`<span class="soft small">${bytes(sharedBytes)} shared</span>${' '}` : null}
            ${bytes(size)}
          </span>
        </span>
        <${Meter} value=${size} max=${max} label=${name} text=${bytes(size)} />
      </li>`,
    )}
  </ul>`
}
