import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

import { useServices } from './services.js'

/**
 * @template T
 * @typedef {object} Loaded
 * @property {T | undefined} data what was last said, also while it cannot be asked
 * @property {Error | undefined} error
 * @property {() => void} reload
 */

/**
 * Asks now, and again every so often for as long as somebody looks: nothing is asked by a hidden tab.
 *
 * @template T
 * @param {string | undefined} path what to ask; `undefined`: nothing yet
 * @param {number} [everyMs] absent: once
 * @param {boolean} [keepsLast] whether what another path has said stays until this one says something
 * @returns {Loaded<T>}
 */
export function useLoad(path, everyMs, keepsLast = false) {
  const { api } = useServices()
  const [state, setState] = useState(
    /** @type {{ path?: string, data?: T, error?: Error | undefined }} */ ({}),
  )
  const [asked, setAsked] = useState(0)
  const reload = useCallback(() => setAsked((count) => count + 1), [])
  // `asked` is there to ask again.
  useEffect(() => {
    if (path === undefined) return
    const leaving = new AbortController()
    const ask = async () => {
      try {
        const data = await api.get(path, leaving.signal)
        setState({ path, data })
      } catch (error) {
        if (leaving.signal.aborted) return
        setState((last) => ({ ...(last.path === path ? last : { path }), error: toError(error) }))
      }
    }
    const stop = repeat(ask, everyMs)
    return () => {
      leaving.abort()
      stop()
    }
  }, [api, path, everyMs, asked])
  const isCurrent = state.path === path
  return {
    data: isCurrent || keepsLast ? state.data : undefined,
    error: isCurrent ? state.error : undefined,
    reload,
  }
}

/**
 * @param {() => Promise<void>} work
 * @param {number | undefined} everyMs from the end of one to the begin of the next
 * @returns {() => void} ends it
 */
export function repeat(work, everyMs) {
  let timer = 0
  let isRunning = false
  let hasEnded = false
  const run = async () => {
    if (isRunning || hasEnded) return
    isRunning = true
    clearTimeout(timer)
    await work()
    isRunning = false
    if (everyMs === undefined || hasEnded || document.hidden) return
    timer = setTimeout(() => void run(), everyMs)
  }
  const look = () => {
    clearTimeout(timer)
    if (!document.hidden && everyMs !== undefined) void run()
  }
  document.addEventListener('visibilitychange', look)
  void run()
  return () => {
    hasEnded = true
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', look)
  }
}

/**
 * Something that is done on a click: one at a time, and what fails is kept to be shown.
 *
 * @template {readonly unknown[]} A
 * @param {(...given: A) => Promise<void>} work
 */
export function useAction(work) {
  const [isBusy, setIsBusy] = useState(false)
  const [error, setError] = useState(/** @type {Error | undefined} */ (undefined))
  const latest = useRef(work)
  latest.current = work
  const run = useCallback(async (/** @type {A} */ ...given) => {
    setIsBusy(true)
    setError(undefined)
    try {
      await latest.current(...given)
    } catch (failure) {
      setError(toError(failure))
    }
    setIsBusy(false)
  }, [])
  return { run, isBusy, error, clear: () => setError(undefined) }
}

/** @param {unknown} error */
export function toError(error) {
  return error instanceof Error ? error : new Error(String(error))
}
