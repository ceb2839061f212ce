import { html } from '../html.js'

/**
 * A part of a page, under a heading of its own.
 *
 * @param {{ title: string, note?: any, actions?: any, flush?: boolean, children?: any }} props
 */
export function Card({ title, note, actions, flush = false, children }) {
  return html`<section class="card" aria-label=${title}>
    <div class="card-head">
      <div>
        <h2>${title}</h2>
        ${note === undefined ? null : html`<div class="small">${note}</div>`}
      </div>
      ${actions === undefined ? null : html`<div class="buttons">${actions}</div>`}
    </div>
    <div class=${flush ? 'card-body flush' : 'card-body'}>${children}</div>
  </section>`
}

/** @param {{ children?: any }} props */
export function Figures({ children }) {
  return html`<dl class="figures">${children}</dl>`
}

/** @param {{ label: string, value: any, note?: any, children?: any }} props */
export function Figure({ label, value, note, children }) {
  return html`<div class="figure">
    <dt>${label}</dt>
    <dd class="value">${value}</dd>
    ${note === undefined ? null : html`<dd class="note">${note}</dd>`} ${children}
  </div>`
}

/**
 * Names and values; those that are `undefined` are left out.
 *
 * @param {{ rows: readonly (readonly [string, any])[] }} props
 */
export function Facts({ rows }) {
  return html`<dl class="facts">
    ${rows
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}
  </dl>`
}
