import { createContext } from 'preact'
import { useContext } from 'preact/hooks'

/**
 * What every part of the page may use.
 *
 * @typedef {object} Services
 * @property {import('./api.js').Api} api
 * @property {(text: string) => void} notify says what was done, for eyes and for screen readers
 * @property {() => boolean} hasMoved whether one is elsewhere than where the page was opened
 */

export const ServicesContext = createContext(/** @type {Services | undefined} */ (undefined))

/** @returns {Services} */
export function useServices() {
  const services = useContext(ServicesContext)
  if (services === undefined) throw new Error('the page is not whole: no services')
  return services
}
