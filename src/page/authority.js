import { useState } from 'preact/hooks'

import { html } from './html.js'
import { useLoad } from './load.js'
import { State } from './parts/status.js'
import { useServices } from './services.js'

/** @typedef {import('../admin/shapes.ts').AuthorityAnswer} Right */

/** Whether anything can be changed from here, before somebody tries in vain. */
export function Authority() {
  const { api } = useServices()
  const { data } = useLoad('/authority')
  const [, setForgotten] = useState(false)
  if (data === undefined || 'right' in data) return null
  if (data.needs === 'elsewhere') {
    return html`<div title=${data.reason}>
      <${State} kind="off">Read only<//><span class="unseen">: ${data.reason}</span>
    </div>`
  }
  if (!api.hasToken) return html`<div title=${data.reason}>Changes need the token</div>`
  const forget = () => {
    api.forgetToken()
    setForgotten(true)
  }
  return html`<div class="row">
    <button type="button" class="button quiet" onClick=${forget}>Forget the token</button>
  </div>`
}
