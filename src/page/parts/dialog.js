import { useEffect, useId, useRef } from 'preact/hooks'

import { html } from '../html.js'

/**
 * Asks for something before anything else can be done. Escape and the backdrop are a no.
 *
 * @param {{ title: string, onClose: () => void, children?: any }} props
 */
export function Dialog({ title, onClose, children }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null))
  const id = useId()
  useEffect(() => {
    const dialog = ref.current
    const before = document.activeElement
    dialog?.showModal()
    const first = dialog?.querySelector('[data-first]')
    if (first instanceof HTMLElement) first.focus()
    return () => {
      dialog?.close()
      if (before instanceof HTMLElement) before.focus()
    }
  }, [])
  const closeOnBackdrop = (/** @type {MouseEvent} */ event) => {
    if (event.target === ref.current) onClose()
  }
  const cancel = (/** @type {Event} */ event) => {
    event.preventDefault()
    onClose()
  }
  return html`<dialog ref=${ref} aria-labelledby=${id} onCancel=${cancel} onClick=${closeOnBackdrop}>
    <div class="dialog">
      <h2 id=${id}>${title}</h2>
      ${children}
    </div>
  </dialog>`
}
