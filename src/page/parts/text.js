import { useState } from 'preact/hooks'

import { bytes, exact, relative, shortDigest } from '../format.js'
import { html } from '../html.js'
import { useServices } from '../services.js'

/** Small things within a line. */

/**
 * How long ago, and exactly when on demand.
 *
 * @param {{ at: number | undefined, none?: string }} props
 */
export function Time({ at, none = 'never' }) {
  const { api } = useServices()
  if (at === undefined) return html`<span class="soft">${none}</span>`
  const date = new Date(at)
  const iso = Number.isNaN(date.valueOf()) ? '' : date.toISOString()
  return html`<time datetime=${iso} title=${exact(at)} class="nowrap">${relative(at, api.now)}</time>`
}

/**
 * The name of an image, its registry and path less loud than what tells it from others.
 *
 * @param {{ name: string, href?: string }} props
 */
export function ImageName({ name, href }) {
  const { where, last, mark } = partsOf(name)
  const text = html`<span class="where">${where}</span><b>${last}</b
    ><span class=${mark.startsWith('@') ? 'soft mono' : ''}>${mark}</span>`
  return href === undefined
    ? html`<span class="name">${text}</span>`
    : html`<a class="name" href=${href}>${text}</a>`
}

/** @param {string} name */
function partsOf(name) {
  const at = name.indexOf('@')
  const path = at === -1 ? name : name.slice(0, at)
  const slash = path.lastIndexOf('/')
  const colon = at === -1 ? path.indexOf(':', slash + 1) : -1
  const end = colon === -1 ? path.length : colon
  return {
    where: path.slice(0, slash + 1),
    last: path.slice(slash + 1, end),
    mark: at === -1 ? path.slice(end) : `@${shortDigest(name.slice(at + 1))}`,
  }
}

/** @param {{ digest: string }} props */
export function Digest({ digest }) {
  return html`<span class="nowrap"
    ><span class="mono" title=${digest}>${shortDigest(digest)}</span>${' '}<${Copy} text=${digest} label="Copy digest" isIcon /></span>`
}

/** @param {{ value: number | undefined }} props */
export function Size({ value }) {
  if (value === undefined || value === -1) return html`<span class="soft">–</span>`
  return html`<span title=${`${value} bytes`} class="nowrap">${bytes(value)}</span>`
}

/**
 * @param {{ text: string, label?: string, isIcon?: boolean }} props
 */
export function Copy({ text, label = 'Copy', isIcon = false }) {
  const { notify } = useServices()
  const [isCopied, setIsCopied] = useState(false)
  const copy = async () => {
    await copyText(text)
    setIsCopied(true)
    notify('Copied')
    setTimeout(() => setIsCopied(false), 2000)
  }
  return html`<button
    type="button"
    class=${`button quiet ${isIcon ? 'icon' : ''}`}
    aria-label=${label}
    title=${label}
    onClick=${copy}
  >
    ${isIcon ? html`<${CopyIcon} isDone=${isCopied} />` : isCopied ? 'Copied' : 'Copy'}
  </button>`
}

/** @param {{ isDone: boolean }} props */
function CopyIcon({ isDone }) {
  return html`<svg width="13" height="13" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.6" aria-hidden="true">
    ${
      isDone
        ? html`<path d="M2.5 8.5l3.5 3.5 7.5-8" />`
        : html`<rect x="5.5" y="5.5" width="8" height="8" rx="1.5" /><path d="M10.5 3.5v-1h-8v8h1" />`
    }
  </svg>`
}

/**
 * Without TLS a browser gives the clipboard to pages on loopback only.
 *
 * @param {string} text
 */
async function copyText(text) {
  if (navigator.clipboard !== undefined) return await navigator.clipboard.writeText(text)
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'unseen'
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}

/**
 * Text as it is, to be copied.
 *
 * @param {{ text: string, title?: any, label?: string, isTall?: boolean }} props
 */
export function Block({ text, title, label = 'Text', isTall = false }) {
  return html`<div class="block">
    <div class="block-head">
      <span class="mono small">${title}</span>
      <${Copy} text=${text} label=${`Copy ${label}`} />
    </div>
    <pre class=${isTall ? 'tall-text' : ''} tabindex="0" role="region" aria-label=${label}>${text}</pre>
  </div>`
}
