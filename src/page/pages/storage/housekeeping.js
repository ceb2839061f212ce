import { useEffect, useRef, useState } from 'preact/hooks'

import { bytes, count, plural } from '../../format.js'
import { html } from '../../html.js'
import { toError, useAction } from '../../load.js'
import { Progress } from '../../parts/bar.js'
import { Card } from '../../parts/card.js'
import { Dialog } from '../../parts/dialog.js'
import { State, Trouble, Waiting } from '../../parts/status.js'
import { Size } from '../../parts/text.js'
import { useServices } from '../../services.js'

/** What Larder does by itself now and then, at once. @param {{ reload: () => void }} props */
export function Housekeeping({ reload }) {
  const [isCollecting, setIsCollecting] = useState(false)
  return html`<${Card} title="Housekeeping" note="Larder does both by itself; this does it now.">
    <div class="stack">
      <div class="tight">
        <h3>Collect garbage</h3>
        <p class="small soft">Removes what nothing names any more, and what broken downloads left.</p>
        <p><button type="button" class="button" onClick=${() => setIsCollecting(true)}>Collect…</button></p>
      </div>
      <${Verify} reload=${reload} />
    </div>
    ${
      isCollecting
        ? html`<${CollectDialog}
          onClose=${() => setIsCollecting(false)}
          onDone=${() => {
            setIsCollecting(false)
            reload()
          }}
        />`
        : null
    }
  <//>`
}

/** @typedef {import('../../../admin/shapes.ts').CollectedAnswer} Collected */

/** @param {{ onClose: () => void, onDone: () => void }} props */
function CollectDialog({ onClose, onDone }) {
  const { api, notify } = useServices()
  const [preview, setPreview] = useState(/** @type {Collected | undefined} */ (undefined))
  const [failure, setFailure] = useState(/** @type {Error | undefined} */ (undefined))
  useEffect(() => {
    api.post('/gc', { dryRun: true }).then(setPreview, (error) => setFailure(toError(error)))
  }, [api])
  const collect = useAction(async () => {
    const gone = await api.post('/gc')
    notify(`Removed ${bytes(gone.bytes + gone.files.bytes)}`)
    onDone()
  })
  const error = failure ?? collect.error
  const size = preview === undefined ? 0 : preview.bytes + preview.files.bytes
  const isNothing =
    preview !== undefined && preview.manifests + preview.blobs + preview.files.count === 0
  return html`<${Dialog} title="Collect garbage?" onClose=${onClose}>
    ${error === undefined ? null : html`<${Trouble} error=${error} />`}
    ${
      preview === undefined
        ? failure === undefined
          ? html`<${Waiting} rows=${3} label="Looking at what would go" />`
          : null
        : isNothing
          ? html`<p>There is none: everything here is named by something.</p>`
          : html`<p>
              <b>${bytes(size)}</b> would go: ${plural(preview.manifests, 'manifest')},${' '}
              ${plural(preview.blobs, 'other content')}, ${plural(preview.files.count, 'stray file')}.
            </p>
            <ul class="list" tabindex="0" aria-label="What would go">
              ${preview.items.map(
                ({ name, size: one }) =>
                  html`<li key=${name}><span class="mono">${name}</span><${Size} value=${one} /></li>`,
              )}
            </ul>`
    }
    <div class="buttons">
      <button type="button" class="button" data-first onClick=${onClose}>${isNothing ? 'Close' : 'Cancel'}</button>
      ${
        isNothing
          ? null
          : html`<button
            type="button"
            class="button danger"
            disabled=${preview === undefined || collect.isBusy}
            onClick=${() => collect.run()}
          >
            Remove ${bytes(size)}
          </button>`
      }
    </div>
  <//>`
}

/**
 * @typedef {import('../../../admin/shapes.ts').VerifyLine} VerifyLine
 * @typedef {Extract<VerifyLine, { event: 'progress' }>} Checked
 * @typedef {Extract<VerifyLine, { event: 'done' }>} Done
 */

/** Hashes everything, for as long as one stays on this page. @param {{ reload: () => void }} props */
function Verify({ reload }) {
  const { api } = useServices()
  const [repair, setRepair] = useState(false)
  const [progress, setProgress] = useState(/** @type {Checked | undefined} */ (undefined))
  const [done, setDone] = useState(/** @type {Done | undefined} */ (undefined))
  const running = useRef(/** @type {AbortController | undefined} */ (undefined))
  useEffect(() => () => running.current?.abort(), [])
  const verify = useAction(async () => {
    const leaving = new AbortController()
    running.current = leaving
    setDone(undefined)
    let hasEnded = false
    try {
      await api.lines(
        '/verify',
        repair ? { repair } : {},
        leaving.signal,
        (/** @type {VerifyLine} */ line) => {
          if (line.event === 'progress') setProgress(line)
          if (line.event === 'done') setDone(line)
          if (line.event === 'failed') throw new Error(line.error.message)
          hasEnded ||= line.event === 'done'
        },
      )
      if (!hasEnded)
        throw new Error('It broke off before its end: Larder was stopped, or the connection was.')
    } catch (error) {
      if (!leaving.signal.aborted) throw error
    } finally {
      setProgress(undefined)
      reload()
    }
  })
  return html`<div class="tight">
    <h3>Verify</h3>
    <p class="small soft">
      Hashes every stored byte. What is damaged is put aside, and fetched again when it is asked for. It goes
      on for as long as this page is open.
    </p>
    <p class="buttons">
      ${
        verify.isBusy
          ? html`<button type="button" class="button" onClick=${() => running.current?.abort()}>Stop</button>`
          : html`<button type="button" class="button" onClick=${() => verify.run()}>Verify</button>`
      }
      <label class="check">
        <input type="checkbox" checked=${repair} disabled=${verify.isBusy} onChange=${(/** @type {any} */ event) => setRepair(event.target.checked)} />
        <span>Fetch what is damaged again at once</span>
      </label>
    </p>
    <div aria-live="polite">
      ${progress === undefined ? null : html`<${Verifying} progress=${progress} />`}
      ${verify.error === undefined ? null : html`<${Trouble} error=${verify.error} />`}
      ${done === undefined ? null : html`<${Verified} done=${done} />`}
    </div>
  </div>`
}

/** @param {{ progress: Checked }} props */
function Verifying({ progress: { checked, total, bytes: read } }) {
  return html`<p class="small">${count(checked)} of ${plural(total, 'content')}, ${bytes(read)}</p>
    <${Progress} value=${checked} max=${total} label="Verified" />`
}

/** @param {{ done: Done }} props */
function Verified({ done: { checked, damaged, missing, repaired } }) {
  const bad = damaged + missing
  if (bad === 0)
    return html`<p><${State} kind="ok">All ${plural(checked, 'content')} are right<//></p>`
  return html`<p>
    <${State} kind=${repaired === bad ? 'warn' : 'bad'}>
      ${plural(damaged, 'damaged content')}, ${plural(missing, 'missing content')}
    <//>
    ${repaired > 0 ? ` ${plural(repaired, 'content')} fetched again.` : ' They are fetched again when they are asked for.'}
  </p>`
}
