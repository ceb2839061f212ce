import { html } from '../../html.js'
import { useLoad } from '../../load.js'
import { Card } from '../../parts/card.js'
import { requestName } from '../../parts/request.js'
import { ImageName, Time } from '../../parts/text.js'
import { hrefOf } from '../../route.js'

/** @typedef {import('../../../admin/shapes.ts').ActivityAnswer} Activity */

const EVERY_MS = 30_000
const MAX_ROWS = 5

/** Pulls that have just failed; nothing where none has. */
export function Failures() {
  const { data } = useLoad(`/activity?result=error&limit=${MAX_ROWS}`, EVERY_MS)
  const requests = /** @type {Activity['requests']} */ (data?.requests ?? [])
  if (requests.length === 0) return null
  const all = html`<a class="button quiet" href=${hrefOf(['activity', 'requests'], { result: 'error' })}>All of them</a>`
  return html`<${Card} title="Latest failures" actions=${all}>
    <ul class="history">
      ${requests.map(
        (request) => html`<li key=${request.seq}>
          <span class="soft"><${Time} at=${request.at} /></span>
          <div>
            <${ImageName} name=${requestName(request) ?? request.handler} />
             <div class="soft small">${request.problem ?? `status ${request.status}`}, to ${request.client ?? 'nobody'}</div>
          </div>
        </li>`,
      )}
    </ul>
  <//>`
}
