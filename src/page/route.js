import { useEffect, useState } from 'preact/hooks'

/**
 * Where in the page one is: what follows `#` of the address, so that the server has one document.
 *
 * @typedef {{ readonly path: readonly string[], readonly query: URLSearchParams }} Route
 */

/** @returns {Route} */
export function useRoute() {
  const [hash, setHash] = useState(location.hash)
  useEffect(() => {
    const follow = () => setHash(location.hash)
    window.addEventListener('hashchange', follow)
    return () => window.removeEventListener('hashchange', follow)
  }, [])
  return parseRoute(hash)
}

/**
 * @param {string} hash
 * @returns {Route}
 */
export function parseRoute(hash) {
  const [path = '', query] = hash.replace(/^#\/?/, '').split('?', 2)
  const segments = path.split('/').filter((segment) => segment !== '')
  return { path: segments.map(decode), query: new URLSearchParams(query) }
}

/**
 * @param {readonly string[]} path
 * @param {Readonly<Record<string, string | undefined>>} [query] what is empty is left out
 */
export function hrefOf(path, query = {}) {
  const said = Object.entries(query).filter(([, value]) => value !== undefined && value !== '')
  const search = new URLSearchParams(/** @type {[string, string][]} */ (said)).toString()
  return `#/${path.map(encodeURIComponent).join('/')}${search === '' ? '' : `?${search}`}`
}

/**
 * Changes some of what the query says, of what it says by then: not every change has been drawn yet.
 *
 * @param {Readonly<Record<string, string>>} changes
 */
export function changeQuery(changes) {
  const { path, query } = parseRoute(location.hash)
  location.replace(hrefOf(path, { ...Object.fromEntries(query), ...changes }))
}

/** @param {string} name of an image, slashes and all */
export function imageHref(name) {
  return hrefOf(['images', ...name.split('/')])
}

/** @param {string} segment */
function decode(segment) {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
