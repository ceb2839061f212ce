import { useEffect, useState } from 'preact/hooks'

import { toError } from '../../load.js'
import { useServices } from '../../services.js'

/**
 * @typedef {import('../../../admin/shapes.ts').JobDetailAnswer} Job
 * @typedef {import('../../../admin/shapes.ts').RowAnswer} Row
 * @typedef {{ images: number, imagesDone: number, bytes: number, totalBytes: number, fetchedBytes: number, bytesPerSecond: number, active: Job['active'] }} Progressed
 * @typedef {{ job?: Job, progress?: Progressed | undefined, error?: Error, isLost: boolean }} Watched
 */

/**
 * A job as it goes on. A connection that breaks is made again by the browser, and begins with how it
 * stands then.
 *
 * @param {string} id
 * @returns {Watched}
 */
export function useJob(id) {
  const { api } = useServices()
  const [state, setState] = useState(/** @type {Watched} */ ({ isLost: false }))
  useEffect(() => {
    const path = `/jobs/${encodeURIComponent(id)}`
    const events = api.events(`${path}/events`)
    /** @param {string} name @param {(state: Watched, data: any) => Watched} take */
    const on = (name, take) =>
      events.addEventListener(name, (event) => {
        const data = JSON.parse(event.data)
        setState((last) => take({ ...last, isLost: false }, data))
      })
    on('job', (last, job) => ({ ...last, job }))
    on('image', (last, row) => ({ ...last, ...(last.job && { job: withRow(last.job, row) }) }))
    on('progress', (last, progress) => ({ ...last, progress }))
    const readOnce = () =>
      api.get(path).then(
        (job) => setState((last) => ({ ...last, job, progress: undefined, isLost: false })),
        (error) => setState((last) => ({ ...last, error: toError(error) })),
      )
    events.addEventListener('end', () => {
      events.close()
      void readOnce()
    })
    events.addEventListener('error', () => {
      if (events.readyState === EventSource.CLOSED) void readOnce()
      else setState((last) => ({ ...last, isLost: true }))
    })
    return () => events.close()
  }, [api, id])
  return state
}

/**
 * @param {Job} job
 * @param {Row} row
 * @returns {Job}
 */
function withRow(job, row) {
  const at = job.rows.findIndex(({ image }) => image === row.image)
  if (at === -1) return { ...job, rows: [...job.rows, row] }
  return { ...job, rows: job.rows.with(at, row), images: countAgain(job, job.rows.with(at, row)) }
}

/**
 * Between two states of the job only its rows are told of. Those beyond the first thousand are not.
 *
 * @param {Job} job
 * @param {readonly Row[]} rows
 * @returns {Job['images']}
 */
function countAgain(job, rows) {
  if (rows.length < job.images.total) return job.images
  const count = (/** @type {Row['state']} */ state) =>
    rows.filter((row) => row.state === state).length
  return {
    ...job.images,
    done: count('done'),
    unchanged: count('unchanged'),
    failed: count('failed'),
  }
}
