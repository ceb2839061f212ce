import { useLoad } from './load.js'
import { useOverview } from './pulse.js'

/** @typedef {import('../admin/shapes.ts').HistoryAnswer} History */

const EVERY_MS = 60_000
const HOUR_MS = 3_600_000

/** Hours and minutes: what is drawn, and how much of it is one step. */
const PERIODS = /** @type {const} */ ([
  [1, 1],
  [3, 2],
  [6, 4],
  [12, 5],
  [24, 10],
])

/**
 * The last day, or as much of it as there is.
 *
 * @returns {{ hours: number, history: import('./load.js').Loaded<History> }}
 */
export function useHistory() {
  const { data } = useOverview()
  const known = data === undefined ? 0 : (data.now - data.last24Hours.since) / HOUR_MS
  const [hours, minutes] = PERIODS.find(([period]) => period >= known) ?? [24, 10]
  const path = `/overview/history?over=${hours}h&step=${minutes}m`
  return { hours, history: useLoad(data === undefined ? undefined : path, EVERY_MS, true) }
}
