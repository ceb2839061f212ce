import { useState } from 'preact/hooks'

import { bytes, count, duration, milliseconds, percent, plural } from '../../format.js'
import { html } from '../../html.js'
import { useAction } from '../../load.js'
import { Meter } from '../../parts/bar.js'
import { Card, Facts } from '../../parts/card.js'
import { Trouble } from '../../parts/status.js'
import { Time } from '../../parts/text.js'
import { reasonText, UpstreamState } from '../../parts/upstream.js'
import { useServices } from '../../services.js'
import { BlockDialog } from './block.js'
import { TestDialog } from './test.js'

/** @typedef {import('../../../admin/shapes.ts').UpstreamAnswer} Upstream */

const MAX_ERRORS = 5
const LITTLE = 0.1

/** @type {Readonly<Record<Upstream['access'], string>>} */
const ACCESS = {
  public: 'what anyone may pull',
  shared: 'whatever its account can read, to everyone let in',
  caller: 'what each caller shows a right to',
}

/** One registry. @param {{ upstream: Upstream, reload: () => void }} props */
export function UpstreamCard({ upstream, reload }) {
  const { api, notify } = useServices()
  const [asked, setAsked] = useState('')
  const { name, blocked } = upstream
  const unblock = useAction(async () => {
    await api.post(`/upstreams/${encodeURIComponent(name)}/unblock`)
    notify(`${name} is asked again`)
    reload()
  })
  const close = () => setAsked('')
  const actions = html`
    <button type="button" class="button" onClick=${() => setAsked('test')}>Test…</button>
    ${
      blocked === undefined
        ? html`<button type="button" class="button" onClick=${() => setAsked('block')}>Block…</button>`
        : html`<button type="button" class="button" disabled=${unblock.isBusy} onClick=${() => unblock.run()}>
          Unblock
        </button>`
    }
  `
  return html`<${Card} title=${name} note=${html`<${UpstreamState} upstream=${upstream} />`} actions=${actions}>
    <div class="stack">
      ${unblock.error === undefined ? null : html`<${Trouble} error=${unblock.error} />`}
      ${
        blocked === undefined
          ? null
          : html`<div class="notice warn">
            <strong>Blocked by an operator${blocked.reason === undefined ? '' : `: ${blocked.reason}`}</strong>
            <span>Since <${Time} at=${blocked.at} />. What is cached is served; nothing is asked of it.</span>
          </div>`
      }
      <div class="columns">
        <${Place} upstream=${upstream} />
        <${Numbers} upstream=${upstream} />
      </div>
      <${Errors} errors=${upstream.recentErrors} />
    </div>
    ${asked === 'test' ? html`<${TestDialog} name=${name} onClose=${close} />` : null}
    ${
      asked === 'block'
        ? html`<${BlockDialog}
          name=${name}
          onClose=${close}
          onDone=${() => {
            close()
            reload()
          }}
        />`
        : null
    }
  <//>`
}

/** @param {{ upstream: Upstream }} props */
function Place({ upstream }) {
  const { url, mirrors, match, name, access, credentials, credentialExpiresAt, waiting } = upstream
  return html`<${Facts}
    rows=${[
      ['At', html`<span class="mono small">${url}</span>`],
      [
        'Mirrors',
        mirrors.length === 0
          ? undefined
          : html`<span class="mono small">${mirrors.join(', ')}</span>`,
      ],
      ['Names', match.length === 1 && match[0] === name ? undefined : match.join(', ')],
      ['Serves', ACCESS[access]],
      ['Logs in', credentials === 0 ? 'as nobody' : plural(credentials, 'credential')],
      [
        'Expires',
        credentialExpiresAt === undefined ? undefined : html`<${Time} at=${credentialExpiresAt} />`,
      ],
      ['Waiting', waiting === 0 ? undefined : plural(waiting, 'request')],
    ]}
  />`
}

/** @param {{ upstream: Upstream }} props */
function Numbers({ upstream }) {
  const { requests, latencyMs, lastSuccessAt, traffic } = upstream
  return html`<${Facts}
    rows=${[
      [
        'Requests',
        html`${count(requests.total)}${
          requests.failed === 0
            ? ''
            : html`, ${count(requests.failed)} failed (${percent(requests.failed / requests.total)})`
        }`,
      ],
      [
        'Latency',
        latencyMs === undefined
          ? undefined
          : html`${milliseconds(latencyMs.p50)} in the middle, ${milliseconds(latencyMs.p95)} at p95`,
      ],
      ['Last answer', html`<${Time} at=${lastSuccessAt} />`],
      [
        'From cache',
        `${percent(traffic.requests.hitRatio)} of pulls, ${percent(traffic.bytes.hitRatio)} of bytes`,
      ],
      ['Saved', `${bytes(traffic.bytes.saved)} of ${bytes(traffic.bytes.served)} served`],
      [
        'Quota',
        upstream.rateLimit?.remaining === undefined
          ? undefined
          : html`<${QuotaBar} rateLimit=${upstream.rateLimit} />`,
      ],
    ]}
  />`
}

/** @param {{ rateLimit: Upstream['rateLimit'] }} props */
function QuotaBar({ rateLimit }) {
  const { limit, remaining, windowSeconds } = rateLimit ?? {}
  if (remaining === undefined) return null
  const every = windowSeconds === undefined ? '' : ` in ${duration(windowSeconds)}`
  if (limit === undefined) return html`${count(remaining)} left${every}`
  const text = `${count(remaining)} of ${count(limit)} left${every}`
  const kind = remaining < limit * LITTLE ? 'warn' : ''
  return html`<span>${text}</span><${Meter} value=${remaining} max=${limit} label="Quota left" text=${text} kind=${kind} />`
}

/** @param {{ errors: Upstream['recentErrors'] }} props */
function Errors({ errors }) {
  if (errors.length === 0) return null
  return html`<div>
    <h3>Latest errors</h3>
    <ul class="history">
      ${errors.slice(0, MAX_ERRORS).map(
        ({ at, lastAt, reason, count: times }) => html`<li key=${`${at} ${reason}`}>
          <span class="soft"><${Time} at=${lastAt} /></span>
          <span>${reasonText(reason)}${times > 1 ? html` <span class="tag">${count(times)} times</span>` : null}</span>
        </li>`,
      )}
    </ul>
  </div>`
}
