import { useEffect, useState } from 'preact/hooks'

import { html } from './html.js'
import { PAGES } from './pages.js'
import { Dialog } from './parts/dialog.js'
import { hrefOf } from './route.js'

/** How long after `g` a second key belongs to it. */
const SEQUENCE_MS = 1500

/** `g` and a letter go to a page, `/` to the search of this one, `?` says so. */
export function Keyboard() {
  const [isHelping, setIsHelping] = useState(false)
  useEffect(() => {
    let wentAt = Number.NEGATIVE_INFINITY
    const onKey = (/** @type {KeyboardEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return
      if (document.querySelector('dialog[open]') !== null) return
      const page = PAGES.find(({ key }) => key === event.key)
      if (page !== undefined && performance.now() - wentAt < SEQUENCE_MS) {
        location.hash = hrefOf(page.path === '' ? [] : [page.path])
      } else if (event.key === '/') {
        const search = document.querySelector('input[type="search"]')
        if (!(search instanceof HTMLInputElement)) return
        search.focus()
        search.select()
      } else if (event.key === '?') {
        setIsHelping(true)
      } else if (event.key === 'g') {
        wentAt = performance.now()
        return
      } else return
      wentAt = Number.NEGATIVE_INFINITY
      event.preventDefault()
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [])
  if (!isHelping) return null
  return html`<${Dialog} title="Keys" onClose=${() => setIsHelping(false)}>
    <dl class="facts">
      ${PAGES.map(
        ({ key, title }) =>
          html`<dt key=${key}><kbd>g</kbd> <kbd>${key}</kbd></dt><dd>${title}</dd>`,
      )}
      <dt><kbd>/</kbd></dt>
      <dd>Search on this page</dd>
      <dt><kbd>?</kbd></dt>
      <dd>This list</dd>
      <dt><kbd>Esc</kbd></dt>
      <dd>Close a dialog</dd>
    </dl>
    <div class="buttons">
      <button type="button" class="button" onClick=${() => setIsHelping(false)}>Close</button>
    </div>
  <//>`
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return (
    target instanceof HTMLInputElement ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement
  )
}
