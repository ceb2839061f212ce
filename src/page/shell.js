import { useEffect, useMemo, useState } from 'preact/hooks'

import { Api } from './api.js'
import { Authority } from './authority.js'
import { html } from './html.js'
import { Keyboard } from './keyboard.js'
import { PAGES } from './pages.js'
import { Trouble, Waiting } from './parts/status.js'
import { OverviewProvider, Pulse } from './pulse.js'
import { hrefOf, useRoute } from './route.js'
import { ServicesContext } from './services.js'
import { ThemeSwitch } from './theme.js'
import { TokenDialog } from './token.js'

const TOAST_MS = 5000

/** The frame around whatever is looked at. */
export function Shell() {
  const [question, setQuestion] = useState(
    /** @type {{ reason: string, onEnd: (token: string | undefined) => void } | undefined} */ (
      undefined
    ),
  )
  const { toasts, notify } = useToasts()
  // One API for as long as there is a page.
  const services = useMemo(() => {
    const askToken = (/** @type {string} */ reason) => {
      const { promise, resolve } = Promise.withResolvers()
      setQuestion({ reason, onEnd: resolve })
      return promise.finally(() => setQuestion(undefined))
    }
    const start = location.hash
    return { api: new Api(askToken), notify, hasMoved: () => location.hash !== start }
  }, [])
  const { path, query } = useRoute()
  const page = PAGES.find((one) => one.path === (path[0] ?? ''))
  return html`<${ServicesContext.Provider} value=${services}>
    <a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <${OverviewProvider}>
    <div class="frame">
      <${Side} current=${page?.path} />
      <main id="content" tabindex="-1">
        ${
          page === undefined
            ? html`<${Nowhere} />`
            : html`<${Outlet} key=${page.path} page=${page} path=${path.slice(1)} query=${query} />`
        }
      </main>
    </div>
    <//>
    <div class="toasts" role="status" aria-live="polite">
      ${toasts.map(({ id, text }) => html`<div class="toast" key=${id}>${text}</div>`)}
    </div>
    <${Keyboard} />
    ${question === undefined ? null : html`<${TokenDialog} ...${question} />`}
  <//>`
}

/** The address after `#` is where one is, so the jump is made by hand. @param {Event} event */
function skip(event) {
  event.preventDefault()
  document.getElementById('content')?.focus()
}

function useToasts() {
  const [toasts, setToasts] = useState(/** @type {readonly { id: number, text: string }[]} */ ([]))
  const notify = (/** @type {string} */ text) => {
    const id = performance.now()
    setToasts((all) => [...all.slice(-2), { id, text }])
    setTimeout(() => setToasts((all) => all.filter((one) => one.id !== id)), TOAST_MS)
  }
  return { toasts, notify }
}

/** @param {{ current: string | undefined }} props */
function Side({ current }) {
  const [isOpen, setIsOpen] = useState(false)
  // Whoever has chosen wants to see it.
  useEffect(() => setIsOpen(false), [current])
  return html`<header class="side" data-open=${String(isOpen)}>
    <a class="brand" href="#/"><img src="/ui/icon.svg" alt="" width="26" height="26" />Larder</a>
    <button
      type="button"
      class="button menu-button"
      aria-expanded=${String(isOpen)}
      aria-controls="nav"
      onClick=${() => setIsOpen(!isOpen)}
    >
      ${isOpen ? 'Close' : 'Menu'}
    </button>
    <nav class="nav" id="nav" aria-label="Pages">
      ${PAGES.map(
        ({ path, title, key }) =>
          html`<a
            key=${path}
            href=${hrefOf(path === '' ? [] : [path])}
            aria-current=${path === current ? 'page' : undefined}
            aria-keyshortcuts=${`g ${key}`}
            >${title}</a
          >`,
      )}
    </nav>
    <div class="side-foot">
      <${Pulse} />
      <${Authority} />
      <div class="row"><${ThemeSwitch} /></div>
    </div>
  </header>`
}

/**
 * @param {{ page: import('./pages.js').PageEntry, path: readonly string[], query: URLSearchParams }} props
 */
function Outlet({ page, path, query }) {
  const [view, setView] = useState(/** @type {{ View: any } | undefined} */ (undefined))
  const [error, setError] = useState(/** @type {Error | undefined} */ (undefined))
  useEffect(() => {
    page.load().then(setView, () => {
      setError(new Error(`The page ${page.title} could not be loaded: Larder does not answer.`))
    })
  }, [page])
  if (error !== undefined) {
    return html`<${Trouble} error=${error} retry=${() => location.reload()} />`
  }
  if (view === undefined) return html`<${Waiting} />`
  return html`<${view.View} path=${path} query=${query} />`
}

function Nowhere() {
  return html`<div class="empty">
    <h1>There is no such page</h1>
    <p><a href="#/">Go to the overview</a></p>
  </div>`
}
