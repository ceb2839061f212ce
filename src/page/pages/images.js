import { html } from '../html.js'
import { ImageDetail } from './images/detail.js'
import { ImageList } from './images/list.js'

/**
 * What is in the cache; with a name behind it, one image.
 *
 * @param {{ path: readonly string[], query: URLSearchParams }} props
 */
export function View({ path, query }) {
  if (path.length === 0) return html`<${ImageList} query=${query} />`
  const name = path.join('/')
  return html`<${ImageDetail} key=${name} name=${name} />`
}
