import { useState } from 'preact/hooks'

import { html } from '../../html.js'
import { Card } from '../../parts/card.js'
import { PurgeDialog } from '../../parts/purge.js'

/** @type {Readonly<Record<string, { label: string, hint: string, initial: string }>>} */
const WAYS = {
  unusedFor: { label: 'What was not used for', hint: 'such as 30d or 12h', initial: '30d' },
  downTo: {
    label: 'What was not used for longest, down to',
    hint: 'such as 50GiB',
    initial: '50GiB',
  },
  pattern: { label: 'What a pattern matches', hint: 'such as ghcr.io/acme/*:pr-*', initial: '' },
}

/** Removes much at once. Nothing is, before it was said what. @param {{ reload: () => void }} props */
export function MakeRoom({ reload }) {
  const [way, setWay] = useState('unusedFor')
  const { initial = '', hint = '' } = WAYS[way] ?? {}
  const [value, setValue] = useState(initial)
  const [isAsking, setIsAsking] = useState(false)
  const choose = (/** @type {any} */ event) => {
    setWay(event.target.value)
    setValue(WAYS[event.target.value]?.initial ?? '')
  }
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault()
    if (value.trim() !== '') setIsAsking(true)
  }
  const done = () => {
    setIsAsking(false)
    reload()
  }
  return html`<${Card} title="Make room" note="Says what would go first. What is pinned stays.">
    <form class="stack" onSubmit=${submit}>
      <label class="field">
        <span>Remove</span>
        <select class="input" value=${way} onChange=${choose}>
          ${Object.entries(WAYS).map(([key, { label }]) => html`<option key=${key} value=${key}>${label}</option>`)}
        </select>
      </label>
      <label class="field">
        <span>${hint}</span>
        <input class="input mono" spellcheck=${false} value=${value} onInput=${(/** @type {any} */ event) => setValue(event.target.value)} />
      </label>
      <div class="buttons"><button type="submit" class="button">Show what would go…</button></div>
    </form>
    ${
      isAsking
        ? html`<${PurgeDialog}
          title="Make room?"
          selection=${{ [way]: value.trim() }}
          mayForce=${false}
          onClose=${() => setIsAsking(false)}
          onDone=${done}
        />`
        : null
    }
  <//>`
}
