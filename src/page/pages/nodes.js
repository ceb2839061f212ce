import { useEffect, useState } from 'preact/hooks'

import { html } from '../html.js'
import { useLoad } from '../load.js'
import { useNodeUrl } from '../node-url.js'
import { Card } from '../parts/card.js'
import { Page } from '../parts/page.js'
import { Loaded, Trouble } from '../parts/status.js'
import { Block } from '../parts/text.js'
import { hrefOf } from '../route.js'

/** @typedef {import('../../admin/shapes.ts').NodeSetupAnswer} NodeSetup */

/** @type {Readonly<Record<string, string>>} */
const TITLES = {
  crio: 'CRI-O',
  podman: 'Podman',
  docker: 'Docker',
  rke2: 'RKE2',
  buildkit: 'BuildKit',
  minikube: 'minikube',
  talos: 'Talos',
}

/**
 * The files with which nodes pull through this very Larder.
 *
 * @param {{ query: URLSearchParams }} props
 */
export function View({ query }) {
  const guess = useNodeUrl()
  const [url, setUrl] = useState(/** @type {string | undefined} */ (undefined))
  const [fallback, setFallback] = useState(true)
  const [everything, setEverything] = useState(false)
  const runtime = query.get('runtime') ?? 'containerd'
  const said = url ?? guess.url
  const setup = useLoad(
    said === undefined ? undefined : pathOf({ runtime, url: said.trim(), fallback, everything }),
    undefined,
    true,
  )
  const [runtimes, setRuntimes] = useState(/** @type {readonly string[]} */ ([runtime]))
  useEffect(() => {
    if (setup.data !== undefined) setRuntimes(setup.data.runtimes)
  }, [setup.data])
  return html`<${Page} title="Node set-up" lead="What a node reads to pull through this Larder. Pods and image names stay as they are.">
    <div class="choices" role="group" aria-label="What runs on the nodes">
      ${runtimes.map(
        (one) =>
          html`<button
            type="button"
            key=${one}
            aria-pressed=${String(one === runtime)}
            onClick=${() => location.replace(hrefOf(['nodes'], { runtime: one }))}
          >
            ${TITLES[one] ?? one}
          </button>`,
      )}
    </div>
    <form class="filters" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <label class="field grow">
        <span>Where nodes reach this Larder</span>
        <input
          class="input mono"
          type="url"
          spellcheck=${false}
          value=${said ?? ''}
          onInput=${(/** @type {any} */ event) => setUrl(event.target.value)}
        />
      </label>
      <${Option} label="Ask the registry itself where Larder fails" value=${fallback} onChange=${setFallback} />
      <${Option} label="One entry for every registry" value=${everything} onChange=${setEverything} />
    </form>
    ${
      guess.isOwn && url === undefined
        ? html`<p class="small soft">
          You have reached it by a name of your own machine. Write the one that nodes know.
        </p>`
        : null
    }
    ${guess.error === undefined ? null : html`<${Trouble} error=${guess.error} />`}
    <${Loaded} of=${setup} rows=${8}>
      ${(/** @type {NodeSetup} */ data) => html`<${Files} setup=${data} /><${Notes} setup=${data} />`}
    <//>
  <//>`
}

/** @param {{ runtime: string, url: string, fallback: boolean, everything: boolean }} wanted */
function pathOf({ runtime, url, fallback, everything }) {
  const query = { runtime, server: url, fallback: String(fallback), everything: String(everything) }
  return `/node-config?${new URLSearchParams(query)}`
}

/** @param {{ label: string, value: boolean, onChange: (value: boolean) => void }} props */
function Option({ label, value, onChange }) {
  return html`<label class="check">
    <input type="checkbox" checked=${value} onChange=${(/** @type {any} */ event) => onChange(event.target.checked)} />
    <span>${label}</span>
  </label>`
}

/** @param {{ setup: NodeSetup }} props */
function Files({ setup: { files } }) {
  const blocks = files.map(
    ({ path, content }) =>
      html`<${Block} key=${path} text=${content} title=${path} label=${path} />`,
  )
  return files.length > 2 ? html`<div class="columns">${blocks}</div>` : blocks
}

/** @param {{ setup: NodeSetup }} props */
function Notes({ setup: { notes, runtime, server } }) {
  return html`<${Card} title="And then">
    <ul class="stack" style=${{ gap: '0.5rem' }}>
      ${notes.map((note) => html`<li key=${note}>${note}</li>`)}
      <li class="soft">
        The same on a terminal, and with certificates: <code>larder node-config ${runtime} --url ${server}</code>
      </li>
    </ul>
  <//>`
}
