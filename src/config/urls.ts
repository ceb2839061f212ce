/**
 * What is wrong with the text as a registry's URL: an origin, perhaps with a path prefix.
 * The message never repeats the text: it may hold a password.
 *
 * @returns `undefined` when nothing is
 */
export function registryUrlProblem(text: string): string | undefined {
  const url = parseHttpUrl(text)
  if (url === undefined) return 'expected a URL such as https://registry.example.com'
  if (url.username !== '' || url.password !== '') {
    return 'a URL must not hold a user or password: put them under credentials'
  }
  if (text.includes('?')) return 'a URL must not have a query (?…)'
  if (text.includes('#')) return 'a URL must not have a fragment (#…)'
  if (/\/v2\/*$/.test(url.pathname)) return 'leave out /v2: Larder adds it to the URL itself'
  return undefined
}

/** As {@link registryUrlProblem}, for a token endpoint's origin: no path either. */
export function originProblem(text: string): string | undefined {
  const problem = registryUrlProblem(text)
  if (problem !== undefined) return problem
  if (new URL(text).pathname === '/') return undefined
  return 'expected only scheme and host, such as https://auth.example.com, without a path'
}

/** As {@link registryUrlProblem}, for a forward proxy, whose URL may hold a user and password. */
export function proxyUrlProblem(text: string): string | undefined {
  if (parseHttpUrl(text) !== undefined) return undefined
  return "expected a proxy's URL such as http://proxy.example.com:3128"
}

/** Without trailing slash, host lower case. The text has passed {@link registryUrlProblem}. */
export function normalizeUrl(text: string): string {
  const url = new URL(text)
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

/** `undefined` when it is not an absolute `http:` or `https:` URL. */
export function parseHttpUrl(text: string): URL | undefined {
  // `new URL` also takes `https:host` and inner spaces, which are slips of the pen here.
  if (!/^https?:\/\/[^/\s]\S*$/i.test(text) || !URL.canParse(text)) return undefined
  return new URL(text)
}

/** Shows a URL with `***` in place of its password. */
export function redactUrl(text: string): string {
  const url = parseHttpUrl(text)
  if (url === undefined || url.password === '') return text
  url.password = '***'
  return url.href
}
