import { html } from '../html.js'

/**
 * How full something is.
 *
 * @param {{ value: number, max: number, label: string, text?: string, kind?: '' | 'warn' | 'bad', isTall?: boolean }} props
 */
export function Meter({ value, max, label, text, kind = '', isTall = false }) {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0
  return html`<div
    class=${`meter ${isTall ? 'tall' : ''}`}
    role="meter"
    aria-label=${label}
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${Math.round(share * 100)}
    aria-valuetext=${text}
  >
    ${share > 0 ? html`<span class=${kind} style=${{ width: `${share * 100}%` }}></span>` : null}
  </div>`
}

/**
 * How far something is.
 *
 * @param {{ value: number, max: number, label: string }} props
 */
export function Progress({ value, max, label }) {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0
  return html`<div
    class="meter"
    role="progressbar"
    aria-label=${label}
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${Math.floor(share * 100)}
  >
    <span style=${{ width: `${share * 100}%` }}></span>
  </div>`
}

/**
 * What something is made of.
 *
 * @param {{ parts: readonly { label: string, value: number, text: string, kind: string }[], max: number, rest?: { label: string, text: string }, label: string }} props
 */
export function Shares({ parts, max, rest, label }) {
  return html`<div class="stack" style=${{ gap: '0.625rem' }}>
    <div class="meter tall" role="img" aria-label=${`${label}: ${parts.map((one) => `${one.label} ${one.text}`).join(', ')}`}>
      ${parts
        .filter(({ value }) => value > 0)
        .map(
          ({ label: name, value, kind }) =>
            html`<span key=${name} class=${kind} style=${{ width: `${Math.min(100, (100 * value) / max)}%` }}></span>`,
        )}
    </div>
    <ul class="legend">
      ${parts.map(
        ({ label: name, text, kind }) =>
          html`<li key=${name}><i class=${kind}></i>${name} <b>${text}</b></li>`,
      )}
      ${rest === undefined ? null : html`<li><i class="rest"></i>${rest.label} <b>${rest.text}</b></li>`}
    </ul>
  </div>`
}
