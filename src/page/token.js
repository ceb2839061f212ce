import { useState } from 'preact/hooks'

import { html } from './html.js'
import { Dialog } from './parts/dialog.js'

/**
 * Asks for the admin token. It is kept for this tab, and never shown again.
 *
 * @param {{ reason: string, onEnd: (token: string | undefined) => void }} props
 */
export function TokenDialog({ reason, onEnd }) {
  const [token, setToken] = useState('')
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    if (token.trim() !== '') onEnd(token.trim())
  }
  return html`<${Dialog} title="This change needs the admin token" onClose=${() => onEnd(undefined)}>
    <form class="stack" onSubmit=${submit}>
      ${reason === '' ? null : html`<div class="notice bad" role="alert">${reason}</div>`}
      <label class="field">
        <span>Token</span>
        <input
          class="input mono"
          type="password"
          autocomplete="off"
          data-first
          value=${token}
          onInput=${(/** @type {any} */ event) => setToken(event.target.value)}
        />
      </label>
      <p class="small soft">
        It is in the file that <code>admin.tokenFile</code> of the configuration names. This tab keeps it
        until it is closed.
      </p>
      <div class="buttons">
        <button type="button" class="button" onClick=${() => onEnd(undefined)}>Cancel</button>
        <button type="submit" class="button primary">Go on</button>
      </div>
    </form>
  <//>`
}
