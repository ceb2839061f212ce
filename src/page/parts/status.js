import { html } from '../html.js'

/**
 * Waiting, trouble, and nothing there: each says what to do.
 *
 * @param {{ rows?: number, label?: string }} props
 */
export function Waiting({ rows = 5, label = 'Loading' }) {
  return html`<div class="bones" role="status" aria-busy="true">
    <span class="unseen">${label}</span>
    ${Array.from({ length: rows }, (_, at) => html`<span class="bone" key=${at}></span>`)}
  </div>`
}

/**
 * What went wrong, in the words of the API, and what can be done about it.
 *
 * @param {{ error: Error, retry?: () => void, isStale?: boolean }} props
 */
export function Trouble({ error, retry, isStale = false }) {
  const code = 'code' in error ? error.code : undefined
  return html`<div class="notice bad" role="alert">
    <strong>${sentence(error.message)}</strong>
    <span>${isStale ? 'What is shown is what it said last. ' : ''}${adviceOn(code)}</span>
    ${
      retry === undefined
        ? null
        : html`<span><button type="button" class="button" onClick=${retry}>Try again</button></span>`
    }
  </div>`
}

/** What begins with a word, and not with a name, begins with a capital. @param {string} text */
function sentence(text) {
  return /^[a-z]+ /.test(text) ? `${text.charAt(0).toUpperCase()}${text.slice(1)}` : text
}

/** @param {unknown} code */
function adviceOn(code) {
  switch (code) {
    case 'UNREACHABLE':
      return 'Is it running, and does this machine reach it? The page goes on asking by itself.'
    case 'UNAUTHORIZED':
      return 'Changes need the token in the file that admin.tokenFile of its configuration names.'
    case 'INTERNAL':
      return 'The log of Larder says more; larder doctor looks for the usual causes.'
    default:
      return ''
  }
}

/** @param {{ title: string, children?: any }} props */
export function Empty({ title, children }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`
}

/**
 * What was asked for, or why it is not there yet.
 *
 * @param {{ of: { data: any, error: Error | undefined, reload: () => void }, rows?: number, children: (data: any) => any }} props
 */
export function Loaded({ of, rows, children }) {
  const { data, error, reload } = of
  if (data === undefined) {
    return error === undefined
      ? html`<${Waiting} rows=${rows ?? 5} />`
      : html`<${Trouble} error=${error} retry=${reload} />`
  }
  return html`${error === undefined ? null : html`<${Trouble} error=${error} isStale />`}${children(data)}`
}

/**
 * @param {{ kind: 'ok' | 'warn' | 'bad' | 'off', children?: any }} props
 */
export function State({ kind, children }) {
  return html`<span class=${`state ${kind}`}>${children}</span>`
}
