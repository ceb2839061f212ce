const MAX_LENGTH = 8 * 1024

const TARGET = /[ \t,]*<([^<>]*)>/y
const PARAMETER =
  /[ \t]*;[ \t]*([^\s=;,"<>]+)(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?/sy

/**
 * The target of the first `rel="next"` in a `Link` header: RFC 8288 §3, used for pagination by
 * distribution-spec v1.1.1 "Listing Tags". Never throws; reads no further than what it understands.
 */
export function parseNextLink(values: string | readonly string[] | undefined): string | undefined {
  const text = (typeof values === 'string' ? values : (values ?? []).join(',')).slice(0, MAX_LENGTH)
  let position = 0
  for (;;) {
    TARGET.lastIndex = position
    const target = TARGET.exec(text)
    if (target === null) return undefined
    const { end, next } = readParameters(text, TARGET.lastIndex)
    if (next) return target[1]
    position = end
  }
}

function readParameters(text: string, start: number): { end: number; next: boolean } {
  let end = start
  let relation: string | undefined
  for (;;) {
    PARAMETER.lastIndex = end
    const parameter = PARAMETER.exec(text)
    if (parameter === null) break
    end = PARAMETER.lastIndex
    // Only the first `rel` counts: RFC 8288 §3.3.
    if (parameter[1]?.toLowerCase() === 'rel') relation ??= parameter[2] ?? parameter[3] ?? ''
  }
  const relations = relation?.toLowerCase().split(/\s+/) ?? []
  return { end, next: relations.includes('next') }
}

/**
 * Where the next page is: always at `current`'s origin, whatever scheme or port a registry behind
 * a proxy believes to have. `undefined` when the link names another host or makes no sense.
 */
export function resolveNextLink(target: string, current: URL): URL | undefined {
  if (!URL.canParse(target, current)) return undefined
  const next = new URL(target, current)
  if (next.hostname !== current.hostname) return undefined
  const path = new URL(current.origin)
  path.pathname = next.pathname
  path.search = next.search
  return path
}
