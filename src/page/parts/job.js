import { count, plural } from '../format.js'
import { html } from '../html.js'
import { State } from './status.js'

/** @typedef {import('../../admin/shapes.ts').JobAnswer} Job */

/** @type {Readonly<Record<Job['state'], readonly [kind: 'ok' | 'warn' | 'bad' | 'off', text: string]>>} */
const STATES = {
  queued: ['off', 'Waits'],
  running: ['ok', 'Under way'],
  done: ['ok', 'Done'],
  incomplete: ['warn', 'Not all of it'],
  failed: ['bad', 'Failed'],
  cancelled: ['off', 'Cancelled'],
  interrupted: ['warn', 'Interrupted'],
}

/** @param {{ state: Job['state'] }} props */
export function JobState({ state }) {
  const [kind, text] = STATES[state]
  return html`<${State} kind=${kind}>${text}<//>`
}

/** @param {Job['state']} state */
export function isUnderWay(state) {
  return state === 'queued' || state === 'running'
}

/** @param {Job} job */
export function titleOf({ job, dryRun, origin, images }) {
  const what = job ?? (images.total === 0 ? 'a list' : plural(images.total, 'image'))
  const by = { api: '', command: ', by a command', schedule: ', by its schedule' }[origin] ?? ''
  return `${dryRun ? 'Dry run of ' : ''}${what}${by}`
}

/** @param {Job['images']} images */
export function countsOf({ total, done, unchanged, failed }) {
  const parts = [
    `${count(done + unchanged)} of ${plural(total, 'image')}`,
    unchanged > 0 ? `${count(unchanged)} here already` : '',
    failed > 0 ? `${count(failed)} failed` : '',
  ]
  return parts.filter((part) => part !== '').join(', ')
}
