import { html } from '../html.js'

/**
 * One column. `name` is the sort of the API that it stands for, where it has one.
 *
 * @template R
 * @typedef {object} Column
 * @property {string} label
 * @property {(row: R) => any} cell
 * @property {string} [kind] classes: `number`, `wide`, `bare`
 * @property {string} [name]
 * @property {'ascending' | 'descending'} [order]
 */

/**
 * Its first column names the row. On a narrow screen rows become blocks; the roles stay, as styles
 * would take them away.
 *
 * @param {{ label: string, columns: readonly Column<any>[], rows: readonly any[], keyOf: (row: any) => string, sort?: string, onSort?: (name: string) => void }} props
 */
export function Table({ label, columns, rows, keyOf, sort, onSort }) {
  return html`<table class="table" role="table" aria-label=${label}>
    <thead role="rowgroup">
      <tr role="row">
        ${columns.map((column) => html`<${Heading} key=${column.label} ...${{ column, sort, onSort }} />`)}
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${rows.map(
        (row) => html`<tr role="row" key=${keyOf(row)}>
          ${columns.map(({ label: name, cell, kind = '' }, at) =>
            at === 0
              ? html`<th role="rowheader" scope="row" class=${kind}>${cell(row)}</th>`
              : html`<td role="cell" class=${kind} data-label=${name}>${cell(row)}</td>`,
          )}
        </tr>`,
      )}
    </tbody>
  </table>`
}

/** @param {{ column: Column<any>, sort: string | undefined, onSort: ((name: string) => void) | undefined }} props */
function Heading({ column, sort, onSort }) {
  const { label, kind = '', name, order = 'descending' } = column
  if (name === undefined || onSort === undefined) {
    return html`<th role="columnheader" scope="col" class=${kind}>${label}</th>`
  }
  return html`<th role="columnheader" scope="col" class=${kind} aria-sort=${sort === name ? order : 'none'}>
    <button type="button" class="sort" onClick=${() => onSort(name)}>${label}</button>
  </th>`
}
