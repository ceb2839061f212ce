import { useState } from 'preact/hooks'

import { html } from '../html.js'
import { useAction, useLoad } from '../load.js'
import { Page } from '../parts/page.js'
import { Loaded, Trouble } from '../parts/status.js'
import { Table } from '../parts/table.js'
import { useServices } from '../services.js'

/**
 * @typedef {import('../../admin/shapes.ts').ConfigurationAnswer} Configuration
 * @typedef {{ path: string, value: string, origin: string }} Row
 */

const ORIGINS = /** @type {Readonly<Record<string, string>>} */ ({
  default: 'default',
  file: 'file',
  env: 'environment',
})

/** @type {readonly import('../parts/table.js').Column<Row>[]} */
const COLUMNS = [
  { label: 'Key', kind: 'wide', cell: ({ path }) => html`<span class="mono">${path}</span>` },
  { label: 'Value', cell: ({ value }) => html`<span class="mono">${value}</span>` },
  {
    label: 'From',
    kind: 'number',
    cell: ({ origin }) =>
      origin === 'default'
        ? html`<span class="soft">default</span>`
        : html`<span class="tag strong">${ORIGINS[origin] ?? origin}</span>`,
  },
]

/** The configuration in effect, and where each value comes from. */
export function View() {
  const { api, notify } = useServices()
  const configuration = useLoad('/config')
  const [search, setSearch] = useState('')
  const [isAll, setIsAll] = useState(false)
  const reload = useAction(async () => {
    const { warnings } = await api.post('/reload')
    notify(
      warnings.length === 0
        ? 'It is in use as it is now in its file'
        : `In use, with ${warnings.length} warnings in the log`,
    )
    configuration.reload()
  })
  const actions = html`<button type="button" class="button" disabled=${reload.isBusy} onClick=${() => reload.run()}>
    Read it again
  </button>`
  return html`<${Page} title="Settings" lead="What is in effect. It is changed in its file." actions=${actions}>
    ${reload.error === undefined ? null : html`<${Trouble} error=${reload.error} />`}
    <div class="filters">
      <label class="field grow">
        <span>Search</span>
        <input class="input" type="search" spellcheck=${false} value=${search} onInput=${(/** @type {any} */ event) => setSearch(event.target.value)} />
      </label>
      <label class="check">
        <input type="checkbox" checked=${isAll} onChange=${(/** @type {any} */ event) => setIsAll(event.target.checked)} />
        <span>Defaults, too</span>
      </label>
    </div>
    <div class="card">
      <${Loaded} of=${configuration} rows=${10}>
        ${(/** @type {Configuration} */ data) => {
          const rows = rowsOf(data).filter(
            ({ path, value, origin }) =>
              (isAll || origin !== 'default') && `${path} ${value}`.includes(search.trim()),
          )
          return rows.length === 0
            ? html`<div class="empty"><p>Nothing differs from the defaults here.</p></div>`
            : html`<${Table} label="Settings" columns=${COLUMNS} rows=${rows} keyOf=${(/** @type {Row} */ row) => row.path} />`
        }}
      <//>
    </div>
  <//>`
}

/**
 * @param {Configuration} configuration
 * @returns {Row[]}
 */
function rowsOf({ config, origins }) {
  return leavesOf(config, '', '').map(({ path, shown, value }) => ({
    path: shown,
    value: typeof value === 'string' ? value : JSON.stringify(value),
    origin: originOf(path, origins),
  }))
}

/**
 * A value that was written as a whole says it for all that is in it.
 *
 * @param {string} path
 * @param {Configuration['origins']} origins
 * @returns {string}
 */
function originOf(path, origins) {
  for (let at = path; at !== ''; at = at.replace(/\.?[^.]*$/, '')) {
    const origin = origins[at]
    if (origin !== undefined) return origin
  }
  return 'default'
}

/**
 * @param {unknown} value
 * @param {string} path with numbers, as origins have it
 * @param {string} shown with names, where what is in a list has one
 * @returns {{ path: string, shown: string, value: unknown }[]}
 */
function leavesOf(value, path, shown) {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) {
    return [{ path, shown, value }]
  }
  if (Array.isArray(value) && value.every((one) => typeof one !== 'object')) {
    return [{ path, shown, value: value.join(', ') }]
  }
  return Object.entries(value).flatMap(([key, one]) => {
    const within = path === '' ? key : `${path}.${key}`
    const name = Array.isArray(value)
      ? `[${one?.name ?? one?.match ?? key}]`
      : path === ''
        ? key
        : `.${key}`
    return leavesOf(one, within, `${shown}${name}`)
  })
}
