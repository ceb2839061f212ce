import { html } from '../../html.js'
import { useLoad } from '../../load.js'
import { useNodeUrl } from '../../node-url.js'
import { Card } from '../../parts/card.js'
import { Loaded } from '../../parts/status.js'
import { Block } from '../../parts/text.js'
import { hrefOf } from '../../route.js'

/** What to do while no node pulls through this Larder yet. */
export function FirstPull() {
  const { url } = useNodeUrl()
  const query = new URLSearchParams({
    runtime: 'containerd',
    everything: 'true',
    server: url ?? '',
  })
  const setup = useLoad(url === undefined ? undefined : `/node-config?${query}`)
  return html`<${Card}
    title="No pulls yet"
    note="A containerd node pulls through this Larder with this one file; nothing has to be restarted."
    actions=${html`<a class="button" href=${hrefOf(['nodes'])}>Other runtimes</a>`}
  >
    <div class="stack">
      <${Loaded} of=${setup}>
        ${(/** @type {import('../../../admin/shapes.ts').NodeSetupAnswer} */ { files }) =>
          files.map(
            ({ path, content }) =>
              html`<${Block} key=${path} text=${content} title=${path} label=${path} />`,
          )}
      <//>
      ${
        url === undefined
          ? null
          : html`<${Block}
            text=${`curl -s ${url}/v2/docker.io/library/alpine/manifests/latest`}
            title="Or by hand"
            label="the command"
          />`
      }
    </div>
  <//>`
}
