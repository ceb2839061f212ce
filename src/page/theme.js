import { useState } from 'preact/hooks'

import { html } from './html.js'

/** @typedef {'system' | 'light' | 'dark'} Theme */

const KEY = 'larder-theme'
/** @type {readonly Theme[]} */
const THEMES = ['system', 'light', 'dark']

/** @returns {Theme} */
export function readTheme() {
  const kept = localStorage.getItem(KEY)
  return THEMES.find((theme) => theme === kept) ?? 'system'
}

/**
 * Charts are drawn, not styled: they are told.
 *
 * @param {Theme} theme
 */
export function applyTheme(theme) {
  const { dataset } = document.documentElement
  if (theme === 'system') delete dataset['theme']
  else dataset['theme'] = theme
  document.dispatchEvent(new Event('larder-theme'))
}

/** Light, dark, or as the system has it. */
export function ThemeSwitch() {
  const [theme, setTheme] = useState(readTheme)
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system'
  const change = () => {
    localStorage.setItem(KEY, next)
    applyTheme(next)
    setTheme(next)
  }
  return html`<button
    type="button"
    class="button quiet"
    onClick=${change}
    aria-label=${`Theme: ${theme}. Change to ${next}`}
  >
    ${{ system: 'Theme: auto', light: 'Theme: light', dark: 'Theme: dark' }[theme]}
  </button>`
}
