import { useState } from 'preact/hooks'

import { html } from '../../html.js'
import { useAction } from '../../load.js'
import { Card } from '../../parts/card.js'
import { Trouble } from '../../parts/status.js'
import { hrefOf } from '../../route.js'
import { useServices } from '../../services.js'

const PLACEHOLDER = `docker.io/library/nginx:1.27
ghcr.io/acme/checkout:v4.11.2
registry.k8s.io/pause:3.10`

/** A list is pasted, looked at without fetching, or fetched. */
export function NewJob() {
  const { api } = useServices()
  const [text, setText] = useState('')
  const [platforms, setPlatforms] = useState('')
  const [pin, setPin] = useState(false)
  const [referrers, setReferrers] = useState(false)
  const start = useAction(async (/** @type {boolean} */ dryRun) => {
    const chosen = platforms.split(/[\s,]+/).filter((one) => one !== '')
    const { id } = await api.post('/jobs', {
      text,
      ...(chosen.length === 0 ? {} : { platforms: chosen }),
      pin,
      referrers,
      dryRun,
    })
    location.hash = hrefOf(['preload', id])
  })
  const isEmpty = text.trim() === ''
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    if (!isEmpty) void start.run(false)
  }
  return html`<${Card} title="New preload">
    <form class="stack" onSubmit=${submit}>
      <label class="field">
        <span>Images, one a line; or Kubernetes YAML, a Compose file, any list that names images</span>
        <textarea
          class="input"
          spellcheck=${false}
          placeholder=${PLACEHOLDER}
          value=${text}
          onInput=${(/** @type {any} */ event) => setText(event.target.value)}
        ></textarea>
      </label>
      <div class="filters">
        <label class="field grow">
          <span>Platforms; empty: those of each registry’s configuration</span>
          <input
            class="input mono"
            placeholder="linux/amd64, linux/arm64"
            spellcheck=${false}
            value=${platforms}
            onInput=${(/** @type {any} */ event) => setPlatforms(event.target.value)}
          />
        </label>
        <label class="check">
          <input type="checkbox" checked=${pin} onChange=${(/** @type {any} */ event) => setPin(event.target.checked)} />
          <span>Pin them</span>
        </label>
        <label class="check">
          <input type="checkbox" checked=${referrers} onChange=${(/** @type {any} */ event) => setReferrers(event.target.checked)} />
          <span>Signatures and attestations, too</span>
        </label>
      </div>
      ${start.error === undefined ? null : html`<${Trouble} error=${start.error} />`}
      <div class="buttons">
        <button type="submit" class="button primary" disabled=${isEmpty || start.isBusy}>Preload</button>
        <button type="button" class="button" disabled=${isEmpty || start.isBusy} onClick=${() => start.run(true)}>
          Dry run
        </button>
        <span class="small soft">A dry run fetches manifests only, and says what the rest would be.</span>
      </div>
    </form>
  <//>`
}
