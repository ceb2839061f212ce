import { createContext } from 'preact'
import { useContext, useEffect } from 'preact/hooks'

import { html } from './html.js'
import { useLoad } from './load.js'
import { State } from './parts/status.js'
import { useServices } from './services.js'

const EVERY_MS = 10_000

/**
 * @typedef {import('../admin/shapes.ts').OverviewAnswer} Overview
 * @typedef {import('./load.js').Loaded<Overview>} LoadedOverview
 */

const OverviewContext = createContext(/** @type {LoadedOverview | undefined} */ (undefined))

/**
 * Asks how it stands, once for the frame and the page in it.
 *
 * @param {{ children?: any }} props
 */
export function OverviewProvider({ children }) {
  const { api } = useServices()
  const overview = useLoad('/overview', EVERY_MS)
  const now = overview.data?.now
  useEffect(() => {
    if (now !== undefined) api.setNow(now)
  }, [api, now])
  return html`<${OverviewContext.Provider} value=${overview}>${children}<//>`
}

/** @returns {LoadedOverview} */
export function useOverview() {
  const overview = useContext(OverviewContext)
  if (overview === undefined) throw new Error('the page is not whole: no overview')
  return overview
}

/** Whether Larder answers, and that it is well, on every page. */
export function Pulse() {
  const { data, error } = useOverview()
  return html`<div class="row" role="status">
    <${Health} data=${data} error=${error} />
    ${data === undefined ? null : html`<span>${data.version}</span>`}
  </div>`
}

/** @param {{ data: Overview | undefined, error: Error | undefined }} props */
function Health({ data, error }) {
  if (error !== undefined) return html`<${State} kind="bad">Does not answer<//>`
  if (data === undefined) return html`<${State} kind="off">Asking…<//>`
  if (data.warnings.length === 0) return html`<${State} kind="ok">Working<//>`
  return html`<a href="#/"><${State} kind="warn">Needs a look<//></a>`
}
