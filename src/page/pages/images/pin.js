import { useState } from 'preact/hooks'

import { html } from '../../html.js'
import { useAction } from '../../load.js'
import { Dialog } from '../../parts/dialog.js'
import { Trouble } from '../../parts/status.js'
import { useServices } from '../../services.js'

/**
 * Keeps an image whatever has to go.
 *
 * @param {{ name: string, onClose: () => void, onDone: () => void }} props
 */
export function PinDialog({ name, onClose, onDone }) {
  const { api, notify } = useServices()
  const [follow, setFollow] = useState(false)
  const [expires, setExpires] = useState('')
  const isTag = !name.includes('@')
  const pin = useAction(async () => {
    const said = { ...(follow ? { follow } : {}), ...(expires === '' ? {} : { expires }) }
    const { unknown } = await api.post('/pins', { references: [name], ...said })
    if (unknown.length > 0) throw new Error('It is not here any more: preload it with a pin.')
    notify('It is kept now')
    onDone()
  })
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    void pin.run()
  }
  return html`<${Dialog} title="Keep this image" onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <p>Eviction leaves it alone, with all that it needs and what signs it. <code>${name}</code></p>
      ${pin.error === undefined ? null : html`<${Trouble} error=${pin.error} />`}
      <label class="field">
        <span>For how long</span>
        <select class="input" value=${expires} onChange=${(/** @type {any} */ event) => setExpires(event.target.value)}>
          <option value="">Until it is unpinned</option>
          <option value="7d">7 days</option>
          <option value="30d">30 days</option>
          <option value="90d">90 days</option>
          <option value="365d">A year</option>
        </select>
      </label>
      ${
        isTag
          ? html`<label class="check">
            <input type="checkbox" checked=${follow} onChange=${(/** @type {any} */ event) => setFollow(event.target.checked)} />
            <span>Follow the tag: when it moves, keep what it means then</span>
          </label>`
          : null
      }
      <div class="buttons">
        <button type="button" class="button" onClick=${onClose}>Cancel</button>
        <button type="submit" class="button primary" disabled=${pin.isBusy}>Pin</button>
      </div>
    </form>
  <//>`
}
