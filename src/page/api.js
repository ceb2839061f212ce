/** What the page says to the admin API, and how it hears it. */

const BASE = '/api/v1'
const TOKEN_KEY = 'larder-admin-token'

/** What the API said of a failure, or that it said nothing. */
export class ApiError extends Error {
  /**
   * @param {string} code of the API, or `UNREACHABLE`
   * @param {string} message
   */
  constructor(code, message) {
    super(message)
    this.code = code
  }
}

/**
 * Asks whoever sits there for the token; `undefined`: they would rather not.
 *
 * @typedef {(reason: string) => Promise<string | undefined>} AskToken
 */

/** Reading is free. Changes carry the token, which is kept until this tab is closed. */
export class Api {
  #askToken
  #skewMs = 0

  /** @param {AskToken} askToken */
  constructor(askToken) {
    this.#askToken = askToken
  }

  /** Larder's own time, epoch milliseconds: its clock and the browser's need not agree. */
  get now() {
    return Date.now() + this.#skewMs
  }

  /** @param {number} now as the API has just said it */
  setNow(now) {
    this.#skewMs = now - Date.now()
  }

  get hasToken() {
    return sessionStorage.getItem(TOKEN_KEY) !== null
  }

  forgetToken() {
    sessionStorage.removeItem(TOKEN_KEY)
  }

  /**
   * @param {string} path
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async get(path, signal) {
    const response = await reach(path, signal === undefined ? {} : { signal })
    return await answerOf(response)
  }

  /**
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async post(path, body = {}) {
    return await answerOf(await this.#change('POST', path, body))
  }

  /**
   * @param {string} path
   * @returns {Promise<any>}
   */
  async remove(path) {
    return await answerOf(await this.#change('DELETE', path))
  }

  /**
   * What answers in lines, one object each.
   *
   * @param {string} path
   * @param {object} body
   * @param {AbortSignal} signal
   * @param {(line: any) => void} onLine
   */
  async lines(path, body, signal, onLine) {
    const response = await this.#change('POST', path, body, signal)
    if (!response.ok) await answerOf(response)
    const text = response.body?.pipeThrough(new TextDecoderStream())
    const reader = text?.getReader()
    let rest = ''
    for (;;) {
      const piece = await reader?.read()
      if (piece === undefined || piece.done) return
      const lines = (rest + piece.value).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line !== '') onLine(JSON.parse(line))
    }
  }

  /**
   * @param {string} path
   * @returns {EventSource} of the same listener; reading takes no token
   */
  events(path) {
    return new EventSource(`${BASE}${path}`)
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @param {AbortSignal} [signal]
   */
  async #change(method, path, body, signal) {
    for (;;) {
      const token = sessionStorage.getItem(TOKEN_KEY)
      const response = await reach(path, {
        method,
        headers: {
          'Content-Type': 'application/json',
          ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
      })
      if (response.status !== 401) return response
      const failure = await failureOf(response)
      const said = await this.#askToken(token === null ? '' : failure.message)
      if (said === undefined) throw failure
      sessionStorage.setItem(TOKEN_KEY, said)
    }
  }
}

/**
 * @param {string} path
 * @param {RequestInit} init
 */
async function reach(path, init) {
  try {
    return await fetch(`${BASE}${path}`, { ...init, cache: 'no-store', redirect: 'error' })
  } catch (error) {
    if (init.signal?.aborted) throw error
    throw new ApiError('UNREACHABLE', 'Larder does not answer.')
  }
}

/** @param {Response} response */
async function answerOf(response) {
  if (!response.ok) throw await failureOf(response)
  return await response.json()
}

/** @param {Response} response */
async function failureOf(response) {
  try {
    const { error } = await response.json()
    return new ApiError(String(error.code), String(error.message))
  } catch {
    return new ApiError('UNREADABLE', `Larder answered with status ${response.status}.`)
  }
}
