import { useEffect, useRef, useState } from 'preact/hooks'

import { count, percent } from '../../format.js'
import { html } from '../../html.js'
import { useLoad } from '../../load.js'
import { Page } from '../../parts/page.js'
import { Empty, Loaded } from '../../parts/status.js'
import { Table } from '../../parts/table.js'
import { ImageName, Size, Time } from '../../parts/text.js'
import { useOverview } from '../../pulse.js'
import { changeQuery, imageHref } from '../../route.js'
import { FirstPull } from '../overview/first-pull.js'

/** @typedef {import('../../../admin/shapes.ts').ImageAnswer} Image */

const PAGE_SIZE = 50
const TYPING_MS = 250
const MAX_PLATFORMS = 3

/** @type {readonly import('../../parts/table.js').Column<Image>[]} */
const COLUMNS = [
  {
    label: 'Image',
    kind: 'wide',
    name: 'name',
    order: 'ascending',
    cell: (image) => html`<${Name} image=${image} />`,
  },
  {
    label: 'Size',
    kind: 'number',
    name: 'size',
    cell: (image) => html`<${Sizes} image=${image} />`,
  },
  { label: 'Pulls', kind: 'number', name: 'pulls', cell: ({ pulls }) => count(pulls) },
  {
    label: 'Last use',
    kind: 'number',
    name: 'last-use',
    cell: ({ lastUsedAt }) => html`<${Time} at=${lastUsedAt} />`,
  },
]

/** What is in the cache: searched, sorted, a page at a time. @param {{ query: URLSearchParams }} props */
export function ImageList({ query }) {
  const { data: overview } = useOverview()
  const [before, setBefore] = useState(/** @type {readonly string[]} */ ([]))
  const wanted = {
    search: query.get('search') ?? '',
    sort: query.get('sort') ?? 'last-use',
    unusedFor: query.get('unusedFor') ?? '',
  }
  const change = (/** @type {Readonly<Record<string, string>>} */ changes) => {
    setBefore([])
    changeQuery(changes)
  }
  const images = useLoad(pathOf(wanted, before.at(-1)), undefined, true)
  const lead =
    overview === undefined
      ? undefined
      : `${count(overview.storage.manifests)} manifests under ${count(overview.storage.tags)} tags`
  return html`<${Page} title="Images" lead=${lead}>
    <${Filters} wanted=${wanted} onChange=${change} />
    <div class="card">
      <${Loaded} of=${images} rows=${9}>
        ${(/** @type {{ images: readonly Image[], next?: string }} */ page) =>
          page.images.length === 0
            ? html`<${NoImages} wanted=${wanted} onClear=${() => change({ search: '', unusedFor: '' })} />`
            : html`<${Table}
                label="Images"
                columns=${COLUMNS}
                rows=${page.images}
                keyOf=${keyOf}
                sort=${wanted.sort}
                onSort=${(/** @type {string} */ sort) => change({ sort })}
              />`}
      <//>
    </div>
    <${Paging} at=${before.length} next=${images.data?.next} onGo=${(
      /** @type {string | undefined} */ next,
    ) => setBefore(next === undefined ? before.slice(0, -1) : [...before, next])} />
  <//>`
}

/**
 * @param {{ search: string, sort: string, unusedFor: string }} wanted
 * @param {string | undefined} after
 */
function pathOf({ search, sort, unusedFor }, after) {
  const query = new URLSearchParams({ sort, limit: String(PAGE_SIZE) })
  if (search !== '') query.set('search', search)
  if (unusedFor !== '') query.set('unusedFor', unusedFor)
  if (after !== undefined) query.set('after', after)
  return `/images?${query}`
}

/** @param {Image} image */
function keyOf({ name, digest }) {
  return `${name} ${digest}`
}

/** @param {{ image: Image }} props */
function Name({ image }) {
  const { name, tags, platforms, pinned, complete } = image
  const others = tags.length - 1
  const shown = platforms.slice(0, MAX_PLATFORMS).map(({ platform }) => platform)
  const more = platforms.length - shown.length
  return html`<${ImageName} name=${name} href=${imageHref(name)} />
    <span class="sub">
      ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}${
        others > 0
          ? `${shown.length > 0 ? ' · ' : ''}also ${tags.slice(1, 4).join(', ')}${others > 3 ? ` and ${others - 3} more` : ''}`
          : ''
      }${' '}
      ${pinned ? html`<span class="tag strong">Pinned</span>` : null}${' '}
      ${complete ? null : html`<span class="tag">Partly here</span>`}
    </span>`
}

/** @param {{ image: Image }} props */
function Sizes({ image: { bytes, sharedBytes } }) {
  return html`<${Size} value=${bytes} />
    ${
      sharedBytes > 0 && bytes > 0
        ? html`<span class="sub" title="What other images need as well stays when this one goes">
          ${percent(sharedBytes / bytes)} shared
        </span>`
        : null
    }`
}

/**
 * @param {{ wanted: { search: string, sort: string, unusedFor: string }, onChange: (changes: any) => void }} props
 */
function Filters({ wanted, onChange }) {
  const [text, setText] = useState(wanted.search)
  const timer = useRef(0)
  useEffect(() => setText(wanted.search), [wanted.search])
  useEffect(() => () => clearTimeout(timer.current), [])
  const type = (/** @type {any} */ event) => {
    const { value } = event.target
    setText(value)
    clearTimeout(timer.current)
    timer.current = setTimeout(() => onChange({ search: value.trim() }), TYPING_MS)
  }
  return html`<form class="filters" role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    <label class="field grow">
      <span>Search</span>
      <input class="input" type="search"
        placeholder="nginx, or a pattern such as ghcr.io/acme/*:v1*" value=${text} onInput=${type} aria-keyshortcuts="/" spellcheck=${false} />
    </label>
    <label class="field">
      <span>Sort by</span>
      <select class="input" value=${wanted.sort} onChange=${(/** @type {any} */ event) => onChange({ sort: event.target.value })}>
        <option value="last-use">Last use</option>
        <option value="pulls">Pulls</option>
        <option value="size">Size</option>
        <option value="name">Name</option>
      </select>
    </label>
    <label class="field">
      <span>Used</span>
      <select class="input" value=${wanted.unusedFor} onChange=${(/** @type {any} */ event) => onChange({ unusedFor: event.target.value })}>
        <option value="">Whenever</option>
        <option value="7d">Not for 7 days</option>
        <option value="30d">Not for 30 days</option>
        <option value="90d">Not for 90 days</option>
      </select>
    </label>
  </form>`
}

/**
 * @param {{ at: number, next: string | undefined, onGo: (next: string | undefined) => void }} props
 */
function Paging({ at, next, onGo }) {
  if (at === 0 && next === undefined) return null
  return html`<nav class="buttons" aria-label="Pages of the list">
    <button type="button" class="button" disabled=${at === 0} onClick=${() => onGo(undefined)}>Previous</button>
    <span class="soft">Page ${at + 1}</span>
    <button type="button" class="button" disabled=${next === undefined} onClick=${() => onGo(next)}>Next</button>
  </nav>`
}

/**
 * @param {{ wanted: { search: string, unusedFor: string }, onClear: () => void }} props
 */
function NoImages({ wanted, onClear }) {
  if (wanted.search === '' && wanted.unusedFor === '') return html`<${FirstPull} />`
  return html`<${Empty} title="No image is like that">
    <p>
      A search finds text anywhere in <code>registry/repository:tag</code>; with <code>*</code> it is a
      pattern for all of it.
    </p>
    <div><button type="button" class="button" onClick=${onClear}>Show all images</button></div>
  <//>`
}
