import { bytes, plural } from '../../format.js'
import { html } from '../../html.js'
import { Progress } from '../../parts/bar.js'
import { Card } from '../../parts/card.js'
import { State } from '../../parts/status.js'
import { Table } from '../../parts/table.js'
import { ImageName, Size } from '../../parts/text.js'
import { imageHref } from '../../route.js'

/**
 * @typedef {import('../../../admin/shapes.ts').JobDetailAnswer} Job
 * @typedef {import('../../../admin/shapes.ts').RowAnswer & { readonly active: Job['active'] }} Row
 */

/** @type {Readonly<Record<Row['state'], readonly [kind: 'ok' | 'warn' | 'bad' | 'off', text: string]>>} */
const STATES = {
  waiting: ['off', 'Waits'],
  fetching: ['off', 'On its way'],
  done: ['ok', 'Here'],
  unchanged: ['ok', 'Was here'],
  failed: ['bad', 'Failed'],
}

const MAX_ROWS = 1_000

/**
 * Each image of a preload, with a bar while it is on its way.
 *
 * @param {{ job: Job, progress: import('./watch.js').Progressed | undefined }} props
 */
export function Rows({ job, progress }) {
  const active = progress?.active ?? job.active
  const rows = job.rows.map((row) => ({
    ...row,
    active: active.filter(({ image }) => image === row.image),
  }))
  const more = job.images.total - MAX_ROWS
  /** @type {readonly import('../../parts/table.js').Column<Row>[]} */
  const columns = [
    {
      label: 'Image',
      kind: 'wide',
      cell: (row) => html`<${Name} row=${row} isDry=${job.dryRun} />`,
    },
    {
      label: 'State',
      kind: 'bare',
      cell: (row) => html`<${RowState} row=${row} isDry=${job.dryRun} />`,
    },
    { label: 'Size', kind: 'number', cell: (row) => html`<${Size} value=${row.bytes} />` },
    {
      label: job.dryRun ? 'To fetch' : 'Fetched',
      kind: 'number',
      cell: (row) => html`<${Size} value=${row.fetchedBytes} />`,
    },
  ]
  if (rows.length === 0) return null
  return html`<${Card} title="Images" note=${more > 0 ? `the first ${MAX_ROWS}; ${plural(more, 'more image')}` : undefined} flush>
    <${Table} label="Images of the job" columns=${columns} rows=${rows} keyOf=${(/** @type {Row} */ { image }) => image} />
  <//>`
}

/** @param {{ row: Row, isDry: boolean }} props */
function Name({ row, isDry }) {
  const { image, state, error, warning, active } = row
  const isThere = !isDry && (state === 'done' || state === 'unchanged')
  const came = active.reduce((sum, one) => sum + one.bytes, 0)
  const total = active.reduce((sum, one) => sum + one.totalBytes, 0)
  return html`${isThere ? html`<${ImageName} name=${image} href=${imageHref(image)} />` : html`<${ImageName} name=${image} />`}
    ${error === undefined ? null : html`<span class="sub">${error.message}</span>`}
    ${warning === undefined ? null : html`<span class="sub">${warning}</span>`}
    ${
      state !== 'fetching' || total === 0
        ? null
        : html`<span class="sub row-bar">
          <${Progress} value=${came} max=${total} label=${`What is on its way of ${image}`} />
          <span class="nowrap">${bytes(came)} of ${bytes(total)} on its way</span>
        </span>`
    }`
}

/** @param {{ row: Row, isDry: boolean }} props */
function RowState({ row, isDry }) {
  if (isDry && row.state === 'done') return html`<${State} kind="off">To be fetched<//>`
  const [kind, text] = STATES[row.state]
  return html`<${State} kind=${kind}>${text}<//>`
}
