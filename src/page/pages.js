/**
 * What there is to look at. Each comes when it is first looked at.
 *
 * @typedef {object} PageEntry
 * @property {string} path its first segment; '' is the first page
 * @property {string} title
 * @property {string} key with `g` before it
 * @property {() => Promise<{ View: (props: { path: readonly string[], query: URLSearchParams }) => any }>} load
 */

/** @type {readonly PageEntry[]} */
export const PAGES = [
  { path: '', title: 'Overview', key: 'o', load: () => import('./pages/overview.js') },
  { path: 'images', title: 'Images', key: 'i', load: () => import('./pages/images.js') },
  { path: 'upstreams', title: 'Upstreams', key: 'u', load: () => import('./pages/upstreams.js') },
  { path: 'preload', title: 'Preload', key: 'p', load: () => import('./pages/preload.js') },
  { path: 'storage', title: 'Storage', key: 's', load: () => import('./pages/storage.js') },
  { path: 'activity', title: 'Activity', key: 'a', load: () => import('./pages/activity.js') },
  { path: 'nodes', title: 'Node set-up', key: 'n', load: () => import('./pages/nodes.js') },
  { path: 'settings', title: 'Settings', key: 'e', load: () => import('./pages/settings.js') },
]
