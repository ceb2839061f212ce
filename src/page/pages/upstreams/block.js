import { useState } from 'preact/hooks'

import { html } from '../../html.js'
import { useAction } from '../../load.js'
import { Dialog } from '../../parts/dialog.js'
import { Trouble } from '../../parts/status.js'
import { useServices } from '../../services.js'

/**
 * Asks nothing of a registry any more, until it is unblocked.
 *
 * @param {{ name: string, onClose: () => void, onDone: () => void }} props
 */
export function BlockDialog({ name, onClose, onDone }) {
  const { api, notify } = useServices()
  const [reason, setReason] = useState('')
  const block = useAction(async () => {
    const said = reason.trim() === '' ? {} : { reason: reason.trim() }
    await api.post(`/upstreams/${encodeURIComponent(name)}/block`, said)
    notify(`${name} is blocked`)
    onDone()
  })
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    void block.run()
  }
  return html`<${Dialog} title=${`Block ${name}?`} onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <p>
        Nothing is asked of it until it is unblocked, restarts included. What is cached is served on; what
        is not fails at once, so that nodes can ask the registry themselves.
      </p>
      ${block.error === undefined ? null : html`<${Trouble} error=${block.error} />`}
      <label class="field">
        <span>Why, for whoever comes after you</span>
        <input
          class="input"
          maxlength="200"
          data-first
          value=${reason}
          onInput=${(/** @type {any} */ event) => setReason(event.target.value)}
        />
      </label>
      <div class="buttons">
        <button type="button" class="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class="button danger" disabled=${block.isBusy}>Block</button>
      </div>
    </form>
  <//>`
}
