import { useState } from 'preact/hooks'
import { count, percent, plural } from '../../format.js'
import { html } from '../../html.js'
import { useAction, useLoad } from '../../load.js'
import { useNodeUrl } from '../../node-url.js'
import { Card, Facts } from '../../parts/card.js'
import { Page } from '../../parts/page.js'
import { PurgeDialog } from '../../parts/purge.js'
import { Loaded, Trouble } from '../../parts/status.js'
import { Block, Digest, ImageName, Size, Time } from '../../parts/text.js'
import { hrefOf } from '../../route.js'
import { useServices } from '../../services.js'
import { Manifests } from './manifests.js'
import { PinDialog } from './pin.js'

/** @typedef {import('../../../admin/shapes.ts').ImageDetailAnswer} Image */

/** All that is known of one image, and what can be done with it. @param {{ name: string }} props */
export function ImageDetail({ name }) {
  const image = useLoad(`/images/${name.split('/').map(encodeURIComponent).join('/')}`)
  const crumb = html`<a href=${hrefOf(['images'])}>Images</a>`
  const actions =
    image.data === undefined
      ? undefined
      : html`<${Actions} name=${name} image=${image.data} reload=${image.reload} />`
  return html`<${Page} name=${name} title=${html`<${ImageName} name=${name} />`} crumb=${crumb} actions=${actions}>
    <${Loaded} of=${image}>
      ${(/** @type {Image} */ data) => html`
        <${Summary} name=${name} image=${data} />
        <${Manifests} image=${data} />
        <div class="columns">
          <${History} image=${data} />
          <${Referrers} image=${data} />
        </div>
        <${Annotations} image=${data} />
        <${Raw} raw=${data.raw} />
      `}
    <//>
  <//>`
}

/**
 * @param {{ name: string, image: Image, reload: () => void }} props
 */
function Actions({ name, image, reload }) {
  const { api, notify } = useServices()
  const [asked, setAsked] = useState('')
  const unpin = useAction(async () => {
    const { unpinned } = await api.remove(`/pins?${new URLSearchParams({ reference: name })}`)
    notify(
      unpinned > 0 ? 'It is not kept any more' : 'A pattern keeps it: see larder unpin --pattern',
    )
    reload()
  })
  const refresh = useAction(async () => {
    const { id } = await api.post('/jobs', { images: [name] })
    location.hash = hrefOf(['preload', id])
  })
  const close = () => setAsked('')
  const done = () => {
    close()
    reload()
  }
  const error = unpin.error ?? refresh.error
  return html`
    <button type="button" class="button" disabled=${refresh.isBusy} onClick=${() => refresh.run()}>Fetch again</button>
    ${
      image.pinned
        ? html`<button type="button" class="button" disabled=${unpin.isBusy} onClick=${() => unpin.run()}>Unpin</button>`
        : html`<button type="button" class="button" onClick=${() => setAsked('pin')}>Pin…</button>`
    }
    <button type="button" class="button danger" onClick=${() => setAsked('purge')}>Purge…</button>
    ${error === undefined ? null : html`<${Trouble} error=${error} />`}
    ${asked === 'pin' ? html`<${PinDialog} name=${name} onClose=${close} onDone=${done} />` : null}
    ${
      asked === 'purge'
        ? html`<${PurgeDialog}
          title="Purge this image?"
          selection=${{ references: [name] }}
          onClose=${close}
          onDone=${done}
        />`
        : null
    }
  `
}

/** @param {{ name: string, image: Image }} props */
function Summary({ name, image }) {
  const { url } = useNodeUrl()
  const { digest, mediaType, artifactType, bytes, sharedBytes, missingBytes, complete, tags } =
    image
  const shared =
    sharedBytes > 0 && bytes > 0
      ? html` <span class="soft">${percent(sharedBytes / bytes)} of it shared with others</span>`
      : null
  return html`<div class="columns">
    <${Card} title="What it is">
      <${Facts}
        rows=${[
          ['Digest', html`<${Digest} digest=${digest} />`],
          [
            'Tags',
            tags.length === 0
              ? undefined
              : html`<span class="tags">${tags.map((tag) => html`<span class="tag" key=${tag}>${tag}</span>`)}</span>`,
          ],
          ['Size here', html`<${Size} value=${bytes} />${shared}`],
          [
            'Missing',
            complete
              ? undefined
              : html`${missingBytes > 0 ? html`<${Size} value=${missingBytes} />` : 'parts of it'} <span class="soft">not pulled yet</span>`,
          ],
          [
            'Type',
            html`<span class="mono small">${artifactType ?? mediaType ?? 'not known'}</span>`,
          ],
          ['Kept', image.pinned ? 'pinned: eviction leaves it alone' : 'until room is needed'],
        ]}
      />
    <//>
    <${Card} title="How it is used">
      <div class="stack">
        <${Facts}
          rows=${[
            ['Pulls', count(image.pulls)],
            ['Last pull', html`<${Time} at=${image.lastPulledAt} />`],
            ['Last use', html`<${Time} at=${image.lastUsedAt} />`],
            [
              'Tag checked',
              image.tag === undefined ? undefined : html`<${Time} at=${image.tag.checkedAt} />`,
            ],
            [
              'Refused',
              image.tag?.refusedAt === undefined
                ? undefined
                : html`<${Time} at=${image.tag.refusedAt} /> by its registry`,
            ],
          ]}
        />
        ${
          url === undefined
            ? null
            : html`<${Block} text=${`docker pull ${new URL(url).host}/${name}`} title="By its own name" label="the command" />`
        }
      </div>
    <//>
  </div>`
}

/** @param {{ image: Image }} props */
function History({ image: { tag, digest } }) {
  if (tag === undefined) return null
  const history = tag.history.toReversed()
  return html`<${Card} title=${`What ${tag.tag} has meant`} note=${plural(history.length, 'digest')}>
    <ol class="history">
      ${history.map(
        (one, at) => html`<li key=${`${one.digest} ${one.seenAt}`}>
          <span><${Time} at=${one.seenAt} /></span>
          <span>
            <${Digest} digest=${one.digest} />
            ${at === 0 && one.digest === digest ? html`<span class="tag strong">Now</span>` : null}
          </span>
        </li>`,
      )}
    </ol>
  <//>`
}

/** @param {{ image: Image }} props */
function Referrers({ image: { referrers } }) {
  return html`<${Card} title="What refers to it" note="signatures, attestations, bills of materials">
    ${
      referrers.length === 0
        ? html`<p class="soft">Nothing that is here.</p>`
        : html`<ul class="lines">
          ${referrers.map(
            ({ digest, size, artifactType, mediaType }) => html`<li key=${digest}>
              <span class="mono small">${artifactType ?? mediaType}</span>
              <span class="soft"><${Digest} digest=${digest} /> · <${Size} value=${size} /></span>
            </li>`,
          )}
        </ul>`
    }
  <//>`
}

/** @param {{ image: Image }} props */
function Annotations({ image: { annotations } }) {
  const rows = Object.entries(annotations)
  if (rows.length === 0) return null
  return html`<${Card} title="Annotations" note="as whoever built it wrote them">
    <dl class="facts">
      ${rows.map(([key, value]) => html`<dt key=${key} class="mono small">${key}</dt><dd>${value}</dd>`)}
    </dl>
  <//>`
}

/** @param {{ raw: string | undefined }} props */
function Raw({ raw }) {
  if (raw === undefined) return null
  return html`<${Card} title="Manifest" note="as its registry gave it, laid out for reading">
    <${Block} text=${laidOut(raw)} title="application/json" label="the manifest" isTall />
  <//>`
}

/** @param {string} raw */
function laidOut(raw) {
  try {
    return JSON.stringify(JSON.parse(raw), undefined, 2)
  } catch {
    return raw
  }
}
