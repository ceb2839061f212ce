import { html } from '../html.js'
import { Page } from '../parts/page.js'
import { hrefOf } from '../route.js'
import { Clients } from './activity/clients.js'
import { Requests } from './activity/requests.js'

const TABS = /** @type {const} */ ([
  ['requests', 'Requests'],
  ['clients', 'Clients'],
])

/**
 * Who pulls what, just now.
 *
 * @param {{ path: readonly string[], query: URLSearchParams }} props
 */
export function View({ path, query }) {
  const tab = path[0] === 'clients' ? 'clients' : 'requests'
  return html`<${Page} title="Activity" lead="Of this process, in memory: the log has all of it.">
    <div class="choices" role="group" aria-label="What to look at">
      ${TABS.map(
        ([name, title]) =>
          html`<button
            type="button"
            key=${name}
            aria-pressed=${String(name === tab)}
            onClick=${() => location.replace(hrefOf(['activity', name]))}
          >
            ${title}
          </button>`,
      )}
    </div>
    ${tab === 'clients' ? html`<${Clients} />` : html`<${Requests} query=${query} />`}
  <//>`
}
