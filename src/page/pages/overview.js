import { bytes, count, duration, percent, plural } from '../format.js'
import { useHistory } from '../history.js'
import { html } from '../html.js'
import { useLoad } from '../load.js'
import { Meter } from '../parts/bar.js'
import { Card, Figure, Figures } from '../parts/card.js'
import { Chart } from '../parts/chart.js'
import { Page } from '../parts/page.js'
import { Loaded } from '../parts/status.js'
import { useOverview } from '../pulse.js'
import { Concerns } from './overview/concerns.js'
import { Failures } from './overview/failures.js'
import { FirstPull } from './overview/first-pull.js'
import { UpstreamStrip } from './overview/upstream-strip.js'

/**
 * @typedef {import('../../admin/shapes.ts').OverviewAnswer} Overview
 * @typedef {import('../../admin/shapes.ts').HistoryAnswer} History
 */

const UPSTREAMS_MS = 15_000

/** Whether it works, what it saves, and what is about to go wrong. */
export function View() {
  const overview = useOverview()
  const upstreams = useLoad('/upstreams', UPSTREAMS_MS)
  const lead =
    overview.data === undefined ? undefined : html`Up for ${duration(overview.data.uptimeSeconds)}`
  return html`<${Page} title="Overview" lead=${lead}>
    <${Loaded} of=${overview}>
      ${(/** @type {Overview} */ data) => html`
        <${Concerns} overview=${data} upstreams=${upstreams.data?.upstreams} />
        <${Summary} overview=${data} />
        ${isUnused(data) ? html`<${FirstPull} />` : html`<${Day} />`}
        <${UpstreamStrip} of=${upstreams} />
        <${Failures} />
      `}
    <//>
  <//>`
}

/** @param {Overview} overview */
function isUnused({ requests, last24Hours }) {
  return requests.total === 0 && last24Hours.requests.total === 0
}

/** @param {{ overview: Overview }} props */
function Summary({ overview }) {
  const { last24Hours: day, last5Minutes: recent, storage, bytes: ever } = overview
  const perMinute = recent.requests.total / 5
  const { usedBytes, quotaBytes } = storage
  return html`<${Figures}>
    <${Figure}
      label="From the cache, 24 h"
      value=${percent(day.requests.hitRatio)}
      note=${day.bytes.hitRatio === undefined ? 'nothing was pulled' : `of pulls; ${percent(day.bytes.hitRatio)} of bytes`}
    />
    <${Figure}
      label="Saved from registries, 24 h"
      value=${bytes(day.bytes.saved)}
      note=${`of ${bytes(day.bytes.served)} served; ${bytes(ever.saved)} since the start`}
    />
    <${Figure}
      label="Pulls, 24 h"
      value=${count(day.requests.total)}
      note=${`${perMinute >= 10 || perMinute === 0 ? count(perMinute) : perMinute.toFixed(1)} a minute now`}
    />
    <${Figure}
      label="On disk"
      value=${bytes(usedBytes)}
      note=${`of ${bytes(quotaBytes)}; ${plural(storage.tags, 'tag')}`}
    >
      <${Meter}
        value=${usedBytes}
        max=${quotaBytes}
        label="Disk used"
        text=${`${bytes(usedBytes)} of ${bytes(quotaBytes)}`}
      />
    <//>
  <//>`
}

/** The last day. */
function Day() {
  const { hours, history } = useHistory()
  return html`<${Loaded} of=${history} rows=${6}>
    ${(/** @type {History} */ data) => html`<div class="columns">
      <${Card} title="Pulls" note=${`${hours} h, ${stepOf(data)} a bar`}>
        <${Chart} label="Pulls" kind="bars" times=${data.times} series=${pullsOf(data)} format=${count} floor=${4} />
      <//>
      <${Card} title="Traffic" note=${`${hours} h, ${stepOf(data)} a point`}>
        <${Chart} label="Traffic" isBytes kind="lines" times=${data.times} series=${trafficOf(data)} format=${bytes} floor=${1024} />
      <//>
    </div>`}
  <//>`
}

/** @param {History} history */
function stepOf({ stepSeconds }) {
  return duration(stepSeconds)
}

const FROM_CACHE = /** @type {const} */ (['hit', 'revalidated', 'stale', 'coalesced', 'negative'])
const FROM_REGISTRY = /** @type {const} */ (['miss', 'bypass'])
const FAILED = /** @type {const} */ (['error', 'denied'])

/**
 * @param {History} history
 * @returns {import('../parts/chart.js').Series[]}
 */
function pullsOf({ times, results }) {
  const sum = (/** @type {readonly (keyof History['results'])[]} */ among) =>
    times.map((_, at) => {
      const values = among.map((result) => results[result]?.[at] ?? null)
      return values.every((value) => value === null)
        ? null
        : values.reduce((/** @type {number} */ total, value) => total + (value ?? 0), 0)
    })
  return [
    { label: 'From the cache', color: '--chart-1', values: sum(FROM_CACHE) },
    { label: 'From registries', color: '--chart-2', values: sum(FROM_REGISTRY) },
    { label: 'Failed or refused', color: '--chart-3', values: sum(FAILED) },
  ]
}

/**
 * @param {History} history
 * @returns {import('../parts/chart.js').Series[]}
 */
function trafficOf({ servedBytes, fetchedBytes }) {
  return [
    { label: 'Served to nodes', color: '--chart-1', values: servedBytes },
    { label: 'Fetched from registries', color: '--chart-2', values: fetchedBytes },
  ]
}
