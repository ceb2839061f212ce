import { html } from '../html.js'
import { JobDetail } from './preload/detail.js'
import { JobList } from './preload/list.js'

/**
 * Fills the cache ahead of time; with an id behind it, one job.
 *
 * @param {{ path: readonly string[] }} props
 */
export function View({ path }) {
  const [id] = path
  return id === undefined ? html`<${JobList} />` : html`<${JobDetail} key=${id} id=${id} />`
}
