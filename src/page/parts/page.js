import { useEffect, useRef } from 'preact/hooks'

import { html } from '../html.js'
import { useServices } from '../services.js'

/**
 * A page with its heading, which is where whoever hears instead of sees begins.
 *
 * @param {{ title: any, name?: string, crumb?: any, lead?: any, actions?: any, children?: any }} props
 */
export function Page({ title, name, crumb, lead, actions, children }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null))
  const shown = name ?? String(title)
  const { hasMoved } = useServices()
  useEffect(() => {
    document.title = `${shown} · Larder`
    const at = document.activeElement
    if (!hasMoved()) return
    if (at === null || at === document.body || at.closest('nav') !== null) {
      heading.current?.focus({ preventScroll: true })
    }
  }, [shown, hasMoved])
  return html`<div class="page-head">
      <div>
        ${crumb === undefined ? null : html`<div class="crumb">${crumb}</div>`}
        <h1 ref=${heading} tabindex="-1">${title}</h1>
        ${lead === undefined ? null : html`<p class="lead">${lead}</p>`}
      </div>
      ${actions === undefined ? null : html`<div class="buttons">${actions}</div>`}
    </div>
    <div class="stack">${children}</div>`
}
