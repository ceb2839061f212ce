import { useState } from 'preact/hooks'

import { milliseconds } from '../../format.js'
import { html } from '../../html.js'
import { useAction } from '../../load.js'
import { Dialog } from '../../parts/dialog.js'
import { State, Trouble, Waiting } from '../../parts/status.js'
import { useServices } from '../../services.js'

/** @typedef {import('../../../admin/shapes.ts').UpstreamTestAnswer} Tested */

/**
 * Goes the way of a pull step by step, and says where it ends.
 *
 * @param {{ name: string, onClose: () => void }} props
 */
export function TestDialog({ name, onClose }) {
  const { api } = useServices()
  const [image, setImage] = useState('')
  const [tested, setTested] = useState(/** @type {Tested | undefined} */ (undefined))
  const test = useAction(async () => {
    setTested(undefined)
    const said = image.trim() === '' ? {} : { image: image.trim() }
    setTested(await api.post(`/upstreams/${encodeURIComponent(name)}/test`, said))
  })
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    void test.run()
  }
  return html`<${Dialog} title=${`Test ${name}`} onClose=${onClose}>
    <form class="stack" onSubmit=${submit}>
      <label class="field">
        <span>An image there, to test the right to it as well</span>
        <input
          class="input mono"
          placeholder="library/alpine:latest"
          spellcheck=${false}
          data-first
          value=${image}
          onInput=${(/** @type {any} */ event) => setImage(event.target.value)}
        />
      </label>
      <div aria-live="polite">
        ${test.isBusy ? html`<${Waiting} rows=${4} label="Testing" />` : null}
        ${test.error === undefined ? null : html`<${Trouble} error=${test.error} />`}
        ${tested === undefined ? null : html`<${Steps} tested=${tested} />`}
      </div>
      <div class="buttons">
        <button type="button" class="button" onClick=${onClose}>Close</button>
        <button type="submit" class="button primary" disabled=${test.isBusy}>
          ${tested === undefined ? 'Test' : 'Test again'}
        </button>
      </div>
    </form>
  <//>`
}

/** @param {{ tested: Tested }} props */
function Steps({ tested: { ok, steps, clockSkewMs } }) {
  return html`
    <p><b>${ok ? 'It can be pulled from.' : 'It cannot be pulled from.'}</b></p>
    <ol class="steps">
      ${steps.map(
        ({ step, ok: isFine, detail, advice }) => html`<li key=${step}>
          <span><${State} kind=${isFine ? 'ok' : 'bad'}>${step}<//></span>
          <span>${detail}${advice === undefined ? null : html`<br /><b>${advice}</b>`}</span>
        </li>`,
      )}
    </ol>
    ${
      clockSkewMs === undefined || Math.abs(clockSkewMs) < 60_000
        ? null
        : html`<p class="soft">Its clock and this machine’s differ by ${milliseconds(Math.abs(clockSkewMs))}.</p>`
    }
  `
}
