import { plural } from '../../format.js'
import { html } from '../../html.js'
import { Card } from '../../parts/card.js'
import { State } from '../../parts/status.js'
import { Table } from '../../parts/table.js'
import { Digest, Size } from '../../parts/text.js'

/**
 * @typedef {import('../../../admin/shapes.ts').ImageDetailAnswer} Image
 * @typedef {Image['manifests'][number]} Manifest
 * @typedef {Manifest['layers'][number]} Layer
 */

/** @type {readonly import('../../parts/table.js').Column<Layer>[]} */
const COLUMNS = [
  { label: 'Digest', kind: 'wide', cell: ({ digest }) => html`<${Digest} digest=${digest} />` },
  {
    label: 'Type',
    kind: 'full bare',
    cell: ({ mediaType }) => html`<span class="mono small soft">${mediaType}</span>`,
  },
  { label: 'Size', kind: 'number', cell: ({ size }) => html`<${Size} value=${size} />` },
  { label: '', kind: 'bare', cell: ({ here }) => html`<${Here} here=${here} />` },
]

/** Its platforms, and what each is made of. @param {{ image: Image }} props */
export function Manifests({ image: { manifests, platforms } }) {
  const isIndex = manifests.length > 1
  if (manifests.length === 0) return null
  return html`<${Card}
    title=${isIndex ? 'Platforms' : 'Layers'}
    note=${isIndex ? plural(manifests.length, 'manifest') : undefined}
    flush
  >
    ${manifests.map(
      (manifest) => html`<details class="rows" key=${manifest.digest} open=${!isIndex}>
        <summary>
          <b>${manifest.platform ?? (isIndex ? 'no platform' : (platforms[0]?.platform ?? 'no platform'))}</b>
          <span class="soft">${manifest.layers.length === 0 ? 'not pulled yet' : plural(manifest.layers.length, 'part')}</span>
          ${manifest.layers.length === 0 ? null : html`<span class="soft"><${Size} value=${sizeOf(manifest)} /></span>`}
          <span class="spread"><${Here} here=${isHere(manifest)} /></span>
        </summary>
        ${
          manifest.layers.length === 0
            ? html`<p class="card-body soft">What it is made of is known once it was pulled.</p>`
            : html`<${Table} label=${`Layers of ${manifest.platform ?? manifest.digest}`} columns=${COLUMNS} rows=${manifest.layers} keyOf=${keyOf} />`
        }
      </details>`,
    )}
  <//>`
}

/** @param {{ here: boolean }} props */
function Here({ here }) {
  return here ? html`<${State} kind="ok">Here<//>` : html`<${State} kind="off">Not here<//>`
}

/** @param {Manifest} manifest */
function isHere({ here, layers }) {
  return here && layers.every((layer) => layer.here)
}

/** @param {Manifest} manifest */
function sizeOf({ size, layers }) {
  return layers.reduce((sum, layer) => sum + Math.max(0, layer.size), Math.max(0, size))
}

/** @param {Layer} layer */
function keyOf({ digest }) {
  return digest
}
