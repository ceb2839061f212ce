import { bytes, count, milliseconds, percent } from '../../format.js'
import { html } from '../../html.js'
import { Card } from '../../parts/card.js'
import { Loaded } from '../../parts/status.js'
import { Table } from '../../parts/table.js'
import { Quota, UpstreamState } from '../../parts/upstream.js'
import { hrefOf } from '../../route.js'

/** @typedef {import('../../../admin/shapes.ts').UpstreamAnswer} Upstream */

/** @type {readonly import('../../parts/table.js').Column<Upstream>[]} */
const COLUMNS = [
  {
    label: 'Registry',
    cell: ({ name }) => html`<a class="name" href=${hrefOf(['upstreams'])}><b>${name}</b></a>`,
  },
  {
    label: 'State',
    kind: 'bare',
    cell: (upstream) => html`<${UpstreamState} upstream=${upstream} />`,
  },
  {
    label: 'Requests',
    kind: 'number',
    cell: ({ requests }) => count(requests.total),
  },
  {
    label: 'Failed',
    kind: 'number',
    cell: ({ requests: { total, failed } }) =>
      failed === 0 ? html`<span class="soft">–</span>` : percent(failed / total),
  },
  {
    label: 'Latency p95',
    kind: 'number',
    cell: ({ latencyMs }) =>
      latencyMs === undefined ? html`<span class="soft">–</span>` : milliseconds(latencyMs.p95),
  },
  {
    label: 'From cache',
    kind: 'number',
    cell: ({ traffic }) => percent(traffic.requests.hitRatio),
  },
  {
    label: 'Saved',
    kind: 'number',
    cell: ({ traffic }) => bytes(traffic.bytes.saved),
  },
  {
    label: 'Quota',
    kind: 'number',
    cell: ({ rateLimit }) => html`<${Quota} rateLimit=${rateLimit} />`,
  },
]

/** How each registry is, in a line. @param {{ of: any }} props */
export function UpstreamStrip({ of }) {
  return html`<${Card} title="Registries" note="since the start" flush>
    <${Loaded} of=${of}>
      ${(/** @type {{ upstreams: readonly Upstream[] }} */ { upstreams }) =>
        html`<${Table} label="Registries" columns=${COLUMNS} rows=${upstreams} keyOf=${keyOf} />`}
    <//>
  <//>`
}

/** @param {Upstream} upstream */
function keyOf({ name }) {
  return name
}
