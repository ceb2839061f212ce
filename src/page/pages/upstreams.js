import { html } from '../html.js'
import { useLoad } from '../load.js'
import { Page } from '../parts/page.js'
import { Loaded } from '../parts/status.js'
import { UpstreamCard } from './upstreams/card.js'

/** @typedef {import('../../admin/shapes.ts').UpstreamAnswer} Upstream */

const EVERY_MS = 10_000

/** How each registry is, and what can be done about it. */
export function View() {
  const upstreams = useLoad('/upstreams', EVERY_MS)
  return html`<${Page} title="Upstreams" lead="The registries that are pulled from. What they are is said in the configuration.">
    <${Loaded} of=${upstreams} rows=${9}>
      ${(/** @type {{ upstreams: readonly Upstream[] }} */ data) =>
        data.upstreams.map(
          (upstream) =>
            html`<${UpstreamCard} key=${upstream.name} upstream=${upstream} reload=${upstreams.reload} />`,
        )}
    <//>
  <//>`
}
