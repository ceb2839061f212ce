import { bytes, count, percent, plural } from '../format.js'
import { useHistory } from '../history.js'
import { html } from '../html.js'
import { useLoad } from '../load.js'
import { Shares } from '../parts/bar.js'
import { Card } from '../parts/card.js'
import { Chart } from '../parts/chart.js'
import { Page } from '../parts/page.js'
import { Loaded } from '../parts/status.js'
import { Table } from '../parts/table.js'
import { ImageName, Size, Time } from '../parts/text.js'
import { imageHref } from '../route.js'
import { Housekeeping } from './storage/housekeeping.js'
import { MakeRoom } from './storage/make-room.js'
import { Usage } from './storage/usage.js'

/**
 * @typedef {import('../../admin/shapes.ts').StorageAnswer} Storage
 * @typedef {import('../../admin/shapes.ts').HistoryAnswer} History
 */

/** What would go next is worked out each time. */
const EVERY_MS = 60_000

/** What is used, by what, and what goes next. */
export function View() {
  const storage = useLoad('/storage', EVERY_MS)
  return html`<${Page} title="Storage">
    <${Loaded} of=${storage}>
      ${(/** @type {Storage} */ data) => html`
        <${Used} storage=${data} />
        <div class="columns">
          <${Growth} />
          <${Usage} />
        </div>
        <${NextToGo} storage=${data} />
        <div class="columns">
          <${Housekeeping} reload=${storage.reload} />
          <${MakeRoom} reload=${storage.reload} />
        </div>
      `}
    <//>
  <//>`
}

/** @param {{ storage: Storage }} props */
function Used({ storage }) {
  const { usedBytes, quotaBytes, pinnedBytes, availableBytes, parts, blobs, manifests, tags } =
    storage
  const pinned = Math.min(pinnedBytes, usedBytes)
  const free = Math.max(0, quotaBytes - usedBytes)
  const note = `${plural(tags, 'tag')}, ${plural(manifests, 'manifest')}, ${plural(blobs, 'other content')}`
  return html`<${Card}
    title=${`${bytes(usedBytes)} of ${bytes(quotaBytes)} used${quotaBytes > 0 ? `, ${percent(usedBytes / quotaBytes)}` : ''}`}
    note=${note}
  >
    <div class="stack">
      <${Shares}
        label="Storage"
        max=${Math.max(quotaBytes, usedBytes)}
        parts=${[
          { label: 'Pinned', value: pinned, text: bytes(pinned), kind: '' },
          {
            label: 'Goes when room is needed',
            value: usedBytes - pinned,
            text: bytes(usedBytes - pinned),
            kind: 'second',
          },
        ]}
        rest=${{ label: 'Free up to the cap', text: bytes(free) }}
      />
      <p class="small soft">
        ${bytes(availableBytes)} are free on the disk.${' '}
        ${parts.count === 0 ? '' : `${plural(parts.count, 'download')} under way or to be resumed: ${bytes(parts.bytes)}.`}
      </p>
    </div>
  <//>`
}

/** How it has grown in a day. */
function Growth() {
  const { hours, history } = useHistory()
  return html`<${Card} title="On disk" note=${`${hours} h`}>
    <${Loaded} of=${history}>
      ${(/** @type {History} */ { times, usedBytes }) =>
        html`<${Chart}
          label="On disk"
          kind="lines"
          total="last"
          isBytes
          height=${220}
          times=${times}
          series=${[{ label: 'Used', color: '--chart-1', values: usedBytes }]}
          format=${bytes}
          floor=${1024 * 1024}
        />`}
    <//>
  <//>`
}

/** @type {readonly import('../parts/table.js').Column<Storage['next'][number]>[]} */
const NEXT = [
  {
    label: 'Image',
    kind: 'wide',
    cell: ({ name }) =>
      name.includes('/')
        ? html`<${ImageName} name=${name} href=${imageHref(name)} />`
        : html`<span class="mono small">${name}</span>`,
  },
  { label: 'Size', kind: 'number', cell: (one) => html`<${Size} value=${one.bytes} />` },
  {
    label: 'Last use',
    kind: 'number',
    cell: ({ lastUsedAt }) => html`<${Time} at=${lastUsedAt} />`,
  },
]

/** @param {{ storage: Storage }} props */
function NextToGo({ storage: { next } }) {
  return html`<${Card}
    title="Next to go"
    note="When room is needed: what was not used for longest, an image as a whole, never what is pinned."
    flush
  >
    ${
      next.length === 0
        ? html`<div class="empty"><p>Nothing that could go is here.</p></div>`
        : html`<${Table}
          label="Next to go"
          columns=${NEXT}
          rows=${next.map((one, at) => ({ ...one, at }))}
          keyOf=${(/** @type {{ name: string, at: number }} */ { name, at }) => `${count(at)} ${name}`}
        />`
    }
  <//>`
}
