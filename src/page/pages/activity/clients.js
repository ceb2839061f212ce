import { count, plural } from '../../format.js'
import { html } from '../../html.js'
import { useLoad } from '../../load.js'
import { Loaded } from '../../parts/status.js'
import { Table } from '../../parts/table.js'
import { Size, Time } from '../../parts/text.js'
import { hrefOf } from '../../route.js'
import { FirstPull } from '../overview/first-pull.js'

/**
 * @typedef {import('../../../admin/shapes.ts').ClientsAnswer} Seen
 * @typedef {Seen['clients'][number]} Client
 */

const EVERY_MS = 10_000

/** @type {readonly import('../../parts/table.js').Column<Client>[]} */
const COLUMNS = [
  {
    label: 'Client',
    kind: 'wide',
    cell: ({ address, agent }) =>
      html`<a class="name" href=${hrefOf(['activity', 'requests'], { client: address })}><b>${address}</b></a>
        ${agent === undefined ? null : html`<span class="sub">${agent}</span>`}`,
  },
  { label: 'Runtime', cell: ({ runtime }) => runtime },
  { label: 'Pulls', kind: 'number', cell: ({ pulls }) => count(pulls) },
  {
    label: 'Errors',
    kind: 'number',
    cell: ({ errors }) => (errors === 0 ? html`<span class="soft">–</span>` : count(errors)),
  },
  { label: 'Served', kind: 'number', cell: ({ bytes }) => html`<${Size} value=${bytes} />` },
  {
    label: 'First seen',
    kind: 'number',
    cell: ({ firstSeenAt }) => html`<${Time} at=${firstSeenAt} />`,
  },
  {
    label: 'Last seen',
    kind: 'number',
    cell: ({ lastSeenAt }) => html`<${Time} at=${lastSeenAt} />`,
  },
]

/** Which machines pull through it: whether a node really does. */
export function Clients() {
  const clients = useLoad('/clients', EVERY_MS)
  return html`<${Loaded} of=${clients} rows=${8}>
    ${(/** @type {Seen} */ { clients: rows, since, more }) =>
      rows.length === 0
        ? html`<${FirstPull} />`
        : html`<div class="card">
              <${Table} label="Clients" columns=${COLUMNS} rows=${rows} keyOf=${(/** @type {Client} */ { address, runtime }) => `${address} ${runtime}`} />
            </div>
            <p class="small soft">
              Since <${Time} at=${since} />.${more > 0 ? ` And ${plural(more, 'more client')} before these.` : ''}
            </p>`}
  <//>`
}
