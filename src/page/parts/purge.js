import { useEffect, useState } from 'preact/hooks'

import { bytes, plural, shortDigest } from '../format.js'
import { html } from '../html.js'
import { toError, useAction } from '../load.js'
import { useServices } from '../services.js'
import { Dialog } from './dialog.js'
import { Trouble, Waiting } from './status.js'
import { Size } from './text.js'

/** @typedef {import('../../admin/shapes.ts').PurgedAnswer} Purged */

/**
 * Says what would go before anything does, and removes it once that was seen.
 *
 * @param {{ title: string, selection: object, onClose: () => void, onDone: () => void, mayForce?: boolean }} props
 */
export function PurgeDialog({ title, selection, onClose, onDone, mayForce = true }) {
  const { api, notify } = useServices()
  const [force, setForce] = useState(false)
  const [preview, setPreview] = useState(/** @type {Purged | undefined} */ (undefined))
  const [failure, setFailure] = useState(/** @type {Error | undefined} */ (undefined))
  const said = JSON.stringify({ ...selection, ...(force ? { force } : {}) })
  useEffect(() => {
    let isLeft = false
    api.post('/purge', { ...JSON.parse(said), dryRun: true }).then(
      (answer) => isLeft || setPreview(answer),
      (error) => isLeft || setFailure(toError(error)),
    )
    return () => {
      isLeft = true
    }
  }, [api, said])
  const purge = useAction(async () => {
    const gone = await api.post('/purge', JSON.parse(said))
    notify(`Removed ${bytes(gone.bytes)}`)
    onDone()
  })
  const error = failure ?? purge.error
  const isNothing = preview !== undefined && preview.tags + preview.manifests + preview.blobs === 0
  return html`<${Dialog} title=${title} onClose=${onClose}>
    ${error === undefined ? null : html`<${Trouble} error=${error} />`}
    ${
      preview === undefined
        ? failure === undefined
          ? html`<${Waiting} rows=${3} label="Looking at what would go" />`
          : null
        : html`<${Preview} purged=${preview} />`
    }
    ${
      mayForce && preview !== undefined && (preview.kept.pinned > 0 || force)
        ? html`<label class="check">
          <input type="checkbox" checked=${force} onChange=${(/** @type {any} */ event) => setForce(event.target.checked)} />
          <span>Also what is pinned</span>
        </label>`
        : null
    }
    <div class="buttons">
      <button type="button" class="button" data-first onClick=${onClose}>Cancel</button>
      <button
        type="button"
        class="button danger"
        disabled=${preview === undefined || isNothing || purge.isBusy}
        onClick=${() => purge.run()}
      >
        ${preview === undefined || isNothing ? 'Purge' : `Purge ${bytes(preview.bytes)}`}
      </button>
    </div>
  <//>`
}

/** @param {{ purged: Purged }} props */
function Preview({ purged }) {
  const { tags, manifests, blobs, kept, items } = purged
  const stays = [
    kept.pinned > 0 ? `${plural(kept.pinned, 'content')} pinned` : '',
    kept.inUse > 0 ? `${plural(kept.inUse, 'content')} in use` : '',
    kept.listed > 0 ? `${plural(kept.listed, 'content')} part of another image` : '',
  ].filter((text) => text !== '')
  return html`
    <p>
      ${
        tags + manifests + blobs === 0
          ? 'Nothing would go.'
          : html`<b>${bytes(purged.bytes)}</b> would go: ${plural(tags, 'tag')}, ${plural(manifests, 'manifest')},${' '}
            ${plural(blobs, 'other content')}. What another image needs stays, and its registry is asked the
            next time that somebody pulls it.`
      }
    </p>
    ${stays.length === 0 ? null : html`<p class="soft">Stays: ${stays.join(', ')}.</p>`}
    ${
      items.length === 0
        ? null
        : html`<ul class="list" tabindex="0" aria-label="What would go">
          ${items.map(
            ({ name, size }) =>
              html`<li key=${name}><span class="mono" title=${name}>${nameOf(name)}</span><${Size} value=${size} /></li>`,
          )}
        </ul>`
    }
  `
}

/** A reference as it is, a digest so far that it can be told from others. @param {string} name */
function nameOf(name) {
  return name.startsWith('sha256:') ? shortDigest(name) : name
}
