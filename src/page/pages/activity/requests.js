import { useEffect, useRef, useState } from 'preact/hooks'

import { clock, milliseconds } from '../../format.js'
import { html } from '../../html.js'
import { repeat, toError, useLoad } from '../../load.js'
import { requestName } from '../../parts/request.js'
import { Empty, State, Trouble, Waiting } from '../../parts/status.js'
import { Table } from '../../parts/table.js'
import { ImageName, Size } from '../../parts/text.js'
import { changeQuery, hrefOf } from '../../route.js'
import { useServices } from '../../services.js'

/**
 * @typedef {import('../../../admin/shapes.ts').ActivityAnswer} Activity
 * @typedef {Activity['requests'][number]} Request
 */

const EVERY_MS = 3_000
const MAX_ROWS = 200
const TYPING_MS = 250

/** @type {Readonly<Record<string, readonly [kind: 'ok' | 'warn' | 'bad' | 'off', text: string]>>} */
const RESULTS = {
  hit: ['ok', 'Hit'],
  revalidated: ['ok', 'Revalidated'],
  coalesced: ['ok', 'Joined a download'],
  miss: ['off', 'Fetched'],
  stale: ['warn', 'Stale'],
  negative: ['off', 'Known absent'],
  bypass: ['off', 'Passed on'],
  denied: ['warn', 'Refused'],
  error: ['bad', 'Failed'],
}

/** @type {readonly import('../../parts/table.js').Column<Request>[]} */
const COLUMNS = [
  { label: 'What', kind: 'wide', cell: (request) => html`<${What} request=${request} />` },
  {
    label: 'Result',
    kind: 'bare',
    cell: ({ result, status }) => html`<${Result} result=${result} status=${status} />`,
  },
  {
    label: 'Client',
    cell: ({ client, agent }) => html`<span title=${agent} class="nowrap">${client}</span>`,
  },
  { label: 'Sent', kind: 'number', cell: ({ bytes }) => html`<${Size} value=${bytes} />` },
  { label: 'Took', kind: 'number', cell: ({ ms }) => milliseconds(ms) },
  { label: 'At', kind: 'number', cell: ({ at }) => clock(at) },
]

/** The latest requests, as they come. @param {{ query: URLSearchParams }} props */
export function Requests({ query }) {
  const wanted = Object.fromEntries(
    ['search', 'result', 'upstream', 'client'].map((key) => [key, query.get(key) ?? '']),
  )
  const [isPaused, setIsPaused] = useState(false)
  const { rows, error } = useRequests(wanted, isPaused)
  const isFiltered = Object.values(wanted).some((value) => value !== '')
  return html`
    <${Filters} wanted=${wanted} onChange=${changeQuery} isPaused=${isPaused} onPause=${setIsPaused} />
    ${error === undefined ? null : html`<${Trouble} error=${error} isStale=${rows !== undefined} />`}
    <div class="card">
      ${
        rows === undefined
          ? html`<${Waiting} rows=${9} />`
          : rows.length === 0
            ? html`<${Empty} title=${isFiltered ? 'None of the latest requests is like that' : 'No requests yet'}>
              <p>
                ${
                  isFiltered
                    ? html`<a href=${hrefOf(['activity', 'requests'])}>Show all of them</a>`
                    : html`They appear here as nodes pull. <a href=${hrefOf(['nodes'])}>Set up a node</a>`
                }
              </p>
            <//>`
            : html`<${Table} label="Requests" columns=${COLUMNS} rows=${rows} keyOf=${keyOf} />`
      }
    </div>
  `
}

/**
 * Those that are there, then only what is new.
 *
 * @param {Readonly<Record<string, string>>} wanted
 * @param {boolean} isPaused
 */
function useRequests(wanted, isPaused) {
  const { api } = useServices()
  const [rows, setRows] = useState(/** @type {readonly Request[] | undefined} */ (undefined))
  const [error, setError] = useState(/** @type {Error | undefined} */ (undefined))
  const last = useRef(
    /** @type {{ query: string, seq: number | undefined }} */ ({ query: '', seq: undefined }),
  )
  const query = new URLSearchParams(
    Object.entries(wanted).filter(([, value]) => value !== ''),
  ).toString()
  useEffect(() => {
    if (isPaused) return
    const leaving = new AbortController()
    if (last.current.query !== query) last.current = { query, seq: undefined }
    const ask = async () => {
      const { seq } = last.current
      const path = `/activity?limit=${MAX_ROWS}${query === '' ? '' : `&${query}`}${seq === undefined ? '' : `&after=${seq}`}`
      try {
        const activity = /** @type {Activity} */ (await api.get(path, leaving.signal))
        last.current = { query, seq: activity.last }
        setRows((known) =>
          [...activity.requests, ...(seq === undefined ? [] : (known ?? []))].slice(0, MAX_ROWS),
        )
        setError(undefined)
      } catch (failure) {
        if (!leaving.signal.aborted) setError(toError(failure))
      }
    }
    const stop = repeat(ask, EVERY_MS)
    return () => {
      leaving.abort()
      stop()
    }
  }, [api, query, isPaused])
  return { rows, error }
}

/** @param {Request} request */
function keyOf({ seq }) {
  return String(seq)
}

/** @param {{ request: Request }} props */
function What({ request }) {
  const { method, handler, finished, problem } = request
  const name = requestName(request)
  return html`${name === undefined ? html`<span class="soft">${method} ${handler}</span>` : html`<${ImageName} name=${name} />`}
    <span class="sub">
      ${name === undefined ? null : `${method} ${handler}`}
      ${finished ? null : html` <span class="tag warn">cut off</span>`}
      ${problem === undefined ? null : html` · ${problem}`}
    </span>`
}

/** @param {{ result: string | undefined, status: number | undefined }} props */
function Result({ result, status }) {
  if (result === undefined) return html`<span class="soft">${status ?? 'left'}</span>`
  const [kind, text] = RESULTS[result] ?? ['off', result]
  return html`<${State} kind=${kind}>${text}<//>${status !== undefined && status >= 400 ? html` <span class="soft">${status}</span>` : null}`
}

/**
 * @param {{ wanted: Readonly<Record<string, string>>, onChange: (changes: Record<string, string>) => void, isPaused: boolean, onPause: (isPaused: boolean) => void }} props
 */
function Filters({ wanted, onChange, isPaused, onPause }) {
  const upstreams = useLoad('/upstreams')
  const [text, setText] = useState(wanted['search'] ?? '')
  const timer = useRef(0)
  useEffect(() => () => clearTimeout(timer.current), [])
  const type = (/** @type {any} */ event) => {
    setText(event.target.value)
    clearTimeout(timer.current)
    timer.current = setTimeout(() => onChange({ search: event.target.value.trim() }), TYPING_MS)
  }
  const names = (upstreams.data?.upstreams ?? []).map(
    (/** @type {{ name: string }} */ one) => one.name,
  )
  return html`<form class="filters" role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    <label class="field grow">
      <span>Search</span>
      <input class="input" type="search" spellcheck=${false} aria-keyshortcuts="/" value=${text} onInput=${type} />
    </label>
    <${Choice} label="Result" value=${wanted['result']} options=${Object.entries(RESULTS).map(([key, [, name]]) => [key, name])} onChange=${(/** @type {string} */ result) => onChange({ result })} />
    <${Choice} label="Registry" value=${wanted['upstream']} options=${names.map((/** @type {string} */ name) => [name, name])} onChange=${(/** @type {string} */ upstream) => onChange({ upstream })} />
    ${
      wanted['client'] === ''
        ? null
        : html`<button type="button" class="button" onClick=${() => onChange({ client: '' })}>
          Only ${wanted['client']} <span aria-hidden="true">×</span><span class="unseen">: show all clients</span>
        </button>`
    }
    <button type="button" class="button" aria-pressed=${String(isPaused)} onClick=${() => onPause(!isPaused)}>
      ${isPaused ? 'Go on' : 'Pause'}
    </button>
  </form>`
}

/**
 * @param {{ label: string, value: string | undefined, options: readonly (readonly [string, string])[], onChange: (value: string) => void }} props
 */
function Choice({ label, value, options, onChange }) {
  return html`<label class="field">
    <span>${label}</span>
    <select class="input" value=${value} onChange=${(/** @type {any} */ event) => onChange(event.target.value)}>
      <option value="">All</option>
      ${options.map(([key, name]) => html`<option key=${key} value=${key}>${name}</option>`)}
    </select>
  </label>`
}
